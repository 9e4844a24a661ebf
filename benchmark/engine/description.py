"""What an experiment is, as `experiment.json` says it: settings, data, plan, versions, commit, hardware."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.config import Settings, StatisticsSettings, UserError, base_name, nearest, restore_settings
from benchmark.data.gate import describe_data
from benchmark.data.manifest import Manifest
from benchmark.data.store import stored_size
from benchmark.engine.devices import describe_device
from benchmark.engine.outcomes import Request
from benchmark.ledger import read_experiment
from benchmark.plugins import all_digests, loaded_sources, remembered_plugins

ROOT = Path(__file__).resolve().parents[2]
CODE = ("backbones", "fusion_methods", "benchmark/training", "benchmark/data", "benchmark/plan.py")
FEWEST_SEEDS = 3  # below which no verdict is given
REPORTED_VERSIONS = ("ferfuse", "torch", "torchvision", "numpy", "scikit-learn", "mlflow")


def plan_key(request: Request, digest: str) -> str:
    """Hash all that the plan is made from: settings, data, plug-ins and the code that turns them into runs.

    An experiment that keeps this key keeps its plan, so that a finished one is recognised without importing torch.
    """
    found = hashlib.sha256(request.settings.model_dump_json().encode())
    found.update(f"{digest} {code_digest(request.plugins)}".encode())
    return found.hexdigest()[:16]


def code_digest(plugins: Sequence[Path]) -> str:
    """Hash the code that a run's numbers come from: ours, the user's own methods, and which torch runs it."""
    found = hashlib.sha256()
    sources = [file for name in CODE for file in sorted([ROOT / name, *(ROOT / name).rglob("*.py")])]
    for file in (file for file in sources if file.is_file()):
        found.update(file.read_bytes())
    found.update("".join(all_digests(plugins)).encode())
    for name in ("torch", "torchvision"):
        found.update(version(name).encode())
    return found.hexdigest()[:16]


def describe(request: Request, manifest: Manifest, digest: str, plan: dict[str, Any], device: str) -> dict[str, Any]:
    """Return what `experiment.json` says; a later request for more widens what an earlier one asked for.

    Raises:
        UserError: a question names a method that is not run.
    """
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
    settings["questions"] = _questions(request, earlier, main["methods"])
    settings["statistics"] = planned_statistics(request.settings, earlier)
    content = manifest.content_digest(request.data_dir / "store")
    every = np.ones(len(manifest), bool)  # without a test set of its own each image is tested on once
    parts = {"train": ~manifest.is_test, "test": manifest.is_test if manifest.is_test.any() else every}
    return {
        "experiment": request.experiment,
        "created": earlier["created"] if earlier else datetime.now(UTC).isoformat(timespec="seconds"),
        "command": request.command,
        "settings": settings,
        "main": main,
        "plugins": _plugins(request.settings, earlier),
        "dropped": [name for name in (earlier or {}).get("dropped", []) if name not in main["methods"]],
        "context": _context_digest(request.settings, digest),
        "dataset": {
            "name": manifest.dataset,
            "title": manifest.title,
            "digest": digest,
            **({"content": content} if content != digest else {}),
            "synthetic": manifest.synthetic,
            "stored_size": stored_size(manifest, request.settings.data.image_size),
            "classes": list(manifest.classes),
            "images": {
                name: np.bincount(manifest.labels[rows], minlength=len(manifest.classes)).tolist()
                for name, rows in parts.items()
            },
        },
        "data": describe_data(manifest, request.settings.data, request.data_dir),
        "plan": {"key": plan["key"], "runs": [run.run_id for run in plan["runs"]]},
        "versions": {name: version(name) for name in REPORTED_VERSIONS},
        "commit": commit(),
        "hardware": {
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "platform": platform.platform(),
            "device": {**describe_device(device), "asked": request.device, "compile": request.compile},
        },
    }


def _joined(first: list[Any], second: list[Any]) -> list[Any]:
    return first + [item for item in second if item not in first]


def with_remembered_plugins(request: Request) -> Request:
    """Add the plug-ins that brought the request's methods and backbones to its experiment before."""
    known = read_experiment(request.folder) or {}
    return replace(request, plugins=remembered_plugins(known, _specs(request.settings), request.plugins))


def _specs(settings: Settings) -> list[str]:
    return [*settings.all_backbones(), *dict.fromkeys(method for _, method in settings.fusion_grid())]


def _plugins(settings: Settings, earlier: dict[str, Any] | None) -> dict[str, Any]:
    """Return where methods and backbones from outside come from, by name: a file, or none where a package brought it.

    The digest is that of the present version; runs of another one are told apart by it.
    """
    loaded = loaded_sources()
    names = [name for name in dict.fromkeys(map(base_name, _specs(settings))) if name in loaded]
    present = {
        name: {"file": None if loaded[name].installed else str(loaded[name].file), "digest": loaded[name].digest}
        for name in names
    }
    return {**(earlier or {}).get("plugins", {}), **present}


def _questions(request: Request, earlier: dict[str, Any] | None, methods: list[str]) -> list[dict[str, Any]]:
    """Return the questions that were asked, with the methods' shortest specs; those of before where none are."""
    from fusion_methods import resolve_fusion

    asked = [
        {"method": resolve_fusion(one.method).text, "against": [resolve_fusion(name).text for name in one.against]}
        for one in request.settings.questions
    ]
    for one in asked:
        if one["method"] in one["against"]:
            raise UserError(f"the question compares {one['method']} with itself under two names; name another method")
    for name in (name for one in asked for name in (one["method"], *one["against"])):
        if name not in methods:
            raise UserError(f"the question names {name}, which is not run; {nearest(str(name), methods)} (--methods)")
    before: list[dict[str, Any]] = (earlier or {"settings": {}})["settings"].get("questions", [])
    return asked or before


def planned_statistics(settings: Settings, earlier: dict[str, Any] | None) -> dict[str, Any]:
    """Return looks and margin as they were planned when the experiment was made; its seeds where no looks are given.

    An experiment of fewer than three seeds has no verdict yet, and is planned when it gets more.

    Raises:
        UserError: others are asked for than were planned.
    """
    asked, default = settings.statistics, StatisticsSettings()
    before = (earlier or {"settings": {}})["settings"]
    kept = before.get("statistics", {"looks": [before["seeds"]]} if earlier else {})
    kept = {} if before.get("seeds", 0) < FEWEST_SEEDS else {**default.model_dump(), **kept}
    if not kept:
        looks = asked.looks or [settings.seeds] * (settings.seeds >= FEWEST_SEEDS)
        return {"looks": looks, "margin": asked.margin}
    for name in ("looks", "margin"):
        if getattr(asked, name) not in (kept[name], getattr(default, name)):
            raise UserError(
                f"this experiment was planned with statistics.{name}={kept[name]}, before its results "
                "were known; choose another --experiment NAME for another plan"
            )
    return dict(kept)


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


def refuse_mixture(request: Request, earlier: dict[str, Any] | None, digest: str) -> None:
    """Stop before runs of other settings or data enter an experiment.

    Raises:
        UserError: the experiment was run with other settings, or its images have lost their names.
    """
    if earlier and earlier["dataset"].get("unnamed"):
        raise UserError(
            f"experiment '{request.experiment}' is published without the names of its images, so that no run can be "
            "added; go on from the experiment that it was exported from"
        )
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
