"""An experiment: data, plan, the runs that are not finished yet, and a description of it all.

Importing this module imports no torch: when every run of the plan is finished, none is needed.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from benchmark.config import DATASETS, Settings, UserError, nearest, restore_settings
from benchmark.data.manifest import Manifest
from benchmark.data.sources import open_dataset
from benchmark.data.store import stored_images, stored_size
from benchmark.engine.adoption import adopt_runs
from benchmark.ledger import (
    Record,
    existing_experiment,
    experiment_folder,
    is_finished,
    read_experiment,
    write_experiment,
)

if TYPE_CHECKING:
    from benchmark.engine.local import Failure
    from benchmark.plan import Run
    from benchmark.training.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
CODE = ("backbones", "fusion_methods", "benchmark/training", "benchmark/data", "benchmark/plan.py")
REPORTED_VERSIONS = ("ferfuse", "torch", "torchvision", "numpy", "scikit-learn", "mlflow")


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
        experiment: its name, the folder's name in `results_dir`.
        data_dir: where decoded images and synthetic faces are kept.
        device: "cpu", "cuda" or "auto".
        workers: processes that run side by side; 0 chooses.
        plugins: files that register fusion methods.
        source: the folder of an experiment whose finished runs are taken over where they are the same.
    """

    settings: Settings
    experiment: str
    results_dir: Path = Path("results")
    data_dir: Path = Path("data")
    device: str = "auto"
    workers: int = 0
    plugins: tuple[Path, ...] = ()
    command: str = ""
    source: Path | None = None

    @property
    def folder(self) -> Path:
        """The experiment's folder."""
        return experiment_folder(self.results_dir, self.experiment)


class Progress(Protocol):
    """Who is told how an experiment goes on."""

    def planned(self, runs: Sequence[Run], to_do: Sequence[Run]) -> None:
        """All runs of the plan are known, and which of them are to be done."""

    def ended(self, run: Run, outcome: Record | Failure) -> None:
        """A run has finished or failed."""


@dataclass
class Summary:
    """How an experiment ended.

    Attributes:
        runs: how many the plan has.
        done: how many of them this call did.
        failures: those that failed, with their reasons.
    """

    runs: int
    done: int = 0
    failures: list[Failure] = field(default_factory=list)


def run_experiment(request: Request, progress: Progress) -> Summary:
    """Bring an experiment to its end: do whatever the plan holds and the ledger does not.

    Raises:
        UserError: settings, data or the experiment's earlier runs do not allow it.
    """
    manifest = open_dataset(request.settings.data, request.data_dir)
    digest = manifest.content_digest(request.data_dir / "store")
    earlier = read_experiment(request.folder)
    _refuse_mixture(request, earlier, digest)
    key = plan_key(request, digest)
    if earlier and earlier["plan"]["key"] == key:
        runs = earlier["plan"]["runs"]
        if all(is_finished(request.folder, run_id) for run_id in runs):
            return Summary(len(runs))
    return _run_plan(request, manifest, digest, key, progress)


def _run_plan(request: Request, manifest: Manifest, digest: str, key: str, progress: Progress) -> Summary:
    from benchmark.engine.local import Failure, default_workers, run_in_process, run_locally
    from benchmark.training.backbone import has_weights

    plan = _make_plan(request, manifest, digest)
    workspace = _open_workspace(request, manifest, digest)
    workspace.split(0)  # a class that cannot be split is the user's to know before anything runs
    if request.source is not None:
        adopt_runs([run.run_id for run in plan], request.source, request.folder)
    to_do = [run for run in plan if not is_finished(request.folder, run.run_id)]
    needed = {parent for run in to_do if run.kind == "fusion" for parent in run.parents}
    restored = [
        run for run in plan if run.run_id in needed and run not in to_do and not has_weights(request.folder, run.run_id)
    ]
    to_do = [*restored, *to_do]
    write_experiment(request.folder, describe(request, manifest, digest, {"key": key, "runs": plan}))
    summary = Summary(len(plan))
    progress.planned(plan, to_do)

    def finished(run: Run, outcome: Record | Failure) -> None:
        if isinstance(outcome, Failure):
            summary.failures.append(outcome)
        else:
            summary.done += 1
        progress.ended(run, outcome)

    workers = request.workers or default_workers(workspace.device)
    if not to_do:
        return summary
    if workers == 1:
        run_in_process(to_do, workspace, finished)
    else:
        run_locally(to_do, workspace, workers, request.plugins, finished)
    return summary


def planned_runs(request: Request) -> list[Run]:
    """Return the plan of an experiment without running it."""
    manifest = open_dataset(request.settings.data, request.data_dir)
    return _make_plan(request, manifest, manifest.content_digest(request.data_dir / "store"))


def finished_request(
    results_dir: Path, experiment: str, data_dir: Path, device: str, plugins: tuple[Path, ...]
) -> Request:
    """Return the request that an experiment in the ledger stands for.

    Raises:
        UserError: there is no such experiment.
    """
    folder = experiment_folder(results_dir, experiment)
    settings = restore_settings(existing_experiment(folder)["settings"], folder)
    return Request(settings, experiment, results_dir, data_dir, device, plugins=plugins)


def finished_runs(request: Request) -> tuple[list[Run], Workspace]:
    """Return the finished runs of an experiment, and what is needed to work with them again.

    Raises:
        UserError: the data are not those that the experiment was run on.
    """
    manifest = open_dataset(request.settings.data, request.data_dir)
    digest = manifest.content_digest(request.data_dir / "store")
    _refuse_mixture(request, read_experiment(request.folder), digest)
    runs = [run for run in _make_plan(request, manifest, digest) if is_finished(request.folder, run.run_id)]
    return runs, _open_workspace(request, manifest, digest)


def keep_end_to_end_weights(
    results_dir: Path, experiment: str, data_dir: Path, run_id: str, plugins: tuple[Path, ...]
) -> None:
    """Train an end-to-end run again, which gives the same network, and keep its weights this time.

    Raises:
        UserError: the data or the plug-ins are not those that it was trained with.
    """
    from benchmark.training.fusion import keep_weights

    request = finished_request(results_dir, experiment, data_dir, "cpu", plugins)
    runs, workspace = finished_runs(request)
    found = next((run for run in runs if run.run_id == run_id), None)
    if found is None:
        raise UserError(f"run {run_id} cannot be repeated with this code and these plug-ins; choose another by --run")
    keep_weights(found, workspace)


def _open_workspace(request: Request, manifest: Manifest, digest: str) -> Workspace:
    from benchmark.training.workspace import Workspace

    return Workspace(
        settings=request.settings,
        manifest=manifest,
        dataset_digest=digest,
        images_file=stored_images(manifest, request.settings.data.image_size, request.data_dir),
        experiment=request.folder,
        device=choose_device(request.device),
    )


def _make_plan(request: Request, manifest: Manifest, digest: str) -> list[Run]:
    from benchmark.plan import make_plan

    load_plugins(request.plugins)
    return make_plan(request.settings, digest, len(manifest.classes), int((~manifest.is_test).sum()))


def load_plugins(plugins: Sequence[Path]) -> None:
    """Register the methods of installed packages and of the user's own files."""
    from fusion_methods import load_entry_points, load_plugin

    load_entry_points()
    for plugin in plugins:
        try:
            load_plugin(plugin)
        except ValueError as error:
            raise UserError(str(error)) from error


def choose_device(device: str) -> str:
    """Turn "auto" into what this machine has, and refuse what it has not."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("--device cuda: this machine has no usable GPU; use --device cpu or auto")
    return device


def plan_key(request: Request, digest: str) -> str:
    """Hash all that the plan is made from: settings, data, plug-ins and the code that turns them into runs.

    An experiment that keeps this key keeps its plan, so that a finished one is recognised without importing torch.
    """
    found = hashlib.sha256(request.settings.model_dump_json().encode())
    found.update(digest.encode())
    sources = [file for name in CODE for file in sorted([ROOT / name, *(ROOT / name).rglob("*.py")])]
    for file in [*(file for file in sources if file.is_file()), *request.plugins]:
        if file.is_file():
            found.update(file.read_bytes())
    for name in ("torch", "torchvision"):
        found.update(version(name).encode())
    return found.hexdigest()[:16]


def describe(request: Request, manifest: Manifest, digest: str, plan: dict[str, Any]) -> dict[str, Any]:
    """Return what `experiment.json` says; a later request for more widens what an earlier one asked for."""
    from fusion_methods import resolve_fusion

    settings = request.settings.model_dump(mode="json")
    main: dict[str, list[Any]] = {
        "backbones": request.settings.backbones,
        "methods": [resolve_fusion(method).text for method in request.settings.methods],
        "groups": [list(group) for group in request.settings.branch_groups()],
    }
    earlier = read_experiment(request.folder)
    if earlier:
        main = {name: _joined(earlier["main"][name], main[name]) for name in main}
        for name in ("backbones", "methods", "with_arms"):
            settings[name] = _joined(earlier["settings"][name], settings[name])
        settings["seeds"] = max(settings["seeds"], earlier["settings"]["seeds"])
    parts = {"train": ~manifest.is_test, "test": manifest.is_test}
    return {
        "experiment": request.experiment,
        "created": earlier["created"] if earlier else datetime.now(UTC).isoformat(timespec="seconds"),
        "command": request.command,
        "settings": settings,
        "main": main,
        "context": _context_digest(request.settings, digest),
        "dataset": {
            "name": manifest.dataset,
            "title": manifest.title,
            "digest": digest,
            "synthetic": manifest.synthetic,
            "stored_size": stored_size(manifest, request.settings.data.image_size),
            "classes": list(manifest.classes),
            "images": {
                name: np.bincount(manifest.labels[rows], minlength=len(manifest.classes)).tolist()
                for name, rows in parts.items()
            },
        },
        "plan": {"key": plan["key"], "runs": [run.run_id for run in plan["runs"]]},
        "versions": {name: version(name) for name in REPORTED_VERSIONS},
        "commit": commit(),
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count(), "platform": platform.platform()},
    }


def _joined(first: list[Any], second: list[Any]) -> list[Any]:
    return first + [item for item in second if item not in first]


def commit() -> dict[str, Any] | None:
    """Return the checkout's commit and whether files differ from it; None outside a checkout."""
    try:
        head = _git("rev-parse", "HEAD")
        return {"id": head, "modified": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _context_digest(settings: Settings, digest: str) -> str:
    return hashlib.sha256(json.dumps(settings.context(digest), sort_keys=True).encode()).hexdigest()[:16]


def _refuse_mixture(request: Request, earlier: dict[str, Any] | None, digest: str) -> None:
    if earlier is None or earlier["context"] == _context_digest(request.settings, digest):
        return
    then, now = earlier["dataset"]["digest"], digest
    before = restore_settings(earlier["settings"], request.folder).context(then)
    asked = request.settings.context(now)
    different = [name for name in {**before, **asked} if asked.get(name) != before.get(name)]
    raise UserError(
        f"experiment '{request.experiment}' was run with other settings ({', '.join(different)}); "
        f"choose another --experiment NAME, or delete {request.folder}"
    )


def catalogue(what: str, plugins: Sequence[Path] = ()) -> list[dict[str, Any]]:
    """Return what is registered: "methods", "backbones" or "datasets"."""
    from backbones import BACKBONES
    from fusion_methods import FUSION_METHODS

    if what == "datasets":
        return [{"name": name} for name in DATASETS]
    load_plugins(plugins)
    if what == "methods":
        return [
            {"name": m.name, "title": m.title, "reference": m.reference, "end_to_end": m.end_to_end}
            for m in FUSION_METHODS
        ]
    if what == "backbones":
        return [{"name": b.name, "title": b.title, "reference": b.reference} for b in BACKBONES]
    raise UserError(f"cannot list '{what}'; {nearest(what, ['methods', 'backbones', 'datasets'])}")
