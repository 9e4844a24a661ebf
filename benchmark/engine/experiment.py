"""An experiment: data, plan, and the runs that are not finished yet, given to an engine; Ctrl-C ends it in peace.

Importing this module imports no torch: when every run of the plan is finished, none is needed.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from benchmark.config import Settings, UserError, restore_settings
from benchmark.cores import usable_cores
from benchmark.data.gate import pass_gate
from benchmark.data.sources import OpenedDataset, open_dataset
from benchmark.engine.description import code_digest, describe, plan_key, refuse_mixture, with_remembered_plugins
from benchmark.engine.devices import choose_device, is_compiled
from benchmark.engine.fork_server import start_fork_server
from benchmark.engine.outcomes import Failure, Progress, Request, Summary
from benchmark.engine.overview import write_plan
from benchmark.engine.schedule import Engine, Priority, Schedule, carry_out, dear_first
from benchmark.ledger import (
    Record,
    artifact_folder,
    ask_again,
    existing_experiment,
    experiment_folder,
    failed_runs,
    is_finished,
    read_experiment,
    run_folder,
    write_experiment,
)
from benchmark.ledger import finished_runs as finished_ids
from benchmark.ledger.claims import experiment_claim
from benchmark.plugins import load_plugins
from benchmark.scratch import half_made

if TYPE_CHECKING:
    from benchmark.plan import Run
    from benchmark.training.workspace import Workspace

__all__ = [
    "Progress",
    "Request",
    "Summary",
    "finished_request",
    "finished_runs",
    "planned_runs",
    "run_experiment",
]


NOTICE = (
    b"\nstopping when the runs under way are finished; Ctrl-C again stops at once (what they have learnt up to their "
    b"last checkpoint is kept)\n"
)


def run_experiment(request: Request, progress: Progress, priority: Priority = dear_first) -> Summary:
    """Bring an experiment to its end: do whatever the plan holds and the ledger does not.

    Args:
        priority: which of the runs that can start goes first; it changes no number.

    Raises:
        UserError: settings, data or the experiment's earlier runs do not allow it, or the disk takes nothing more.
        KeyboardInterrupt: Ctrl-C; the runs that were under way are finished.
    """
    earlier = read_experiment(request.folder)
    done = _plan_that_is_done(request, earlier)
    if done is None and request.engine == "local" and (request.workers or usable_cores()) > 1:
        start_fork_server()
    data = open_dataset(request.settings.data, request.data_dir)
    refuse_mixture(request, earlier, data.digest)
    key = plan_key(request, data.digest)
    if done is not None and done["key"] == key:
        return Summary(len(done["runs"]))
    plan = _make_plan(request, data)
    pass_gate(data.manifest, request.settings.data, request.data_dir)
    workspace = _open_workspace(request, data)
    workspace.split(0)  # a class that cannot be split is the user's to know before anything runs
    with experiment_claim(request.folder):
        refuse_mixture(request, read_experiment(request.folder), data.digest)
        if request.source is not None:
            adopt_runs([run.run_id for run in plan], request.source, request.folder)
        description = describe(request, data.manifest, data.digest, {"key": key, "runs": plan}, workspace.device)
        write_plan(request.folder, plan, description["dropped"])
        write_experiment(request.folder, description)
    to_do, failed_before = _left_to_do(request, plan)
    summary = Summary(len(plan), failed_before=failed_before)
    progress.planned(plan, to_do)
    if to_do:
        schedule = Schedule(to_do, plan, priority)
        _carry_out(schedule, _start_engine(request, workspace, to_do), _Report(summary, progress))
    return summary


def _plan_that_is_done(request: Request, earlier: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the plan that an experiment was last run by, if all its runs are finished."""
    if earlier is None or not all(is_finished(request.folder, run_id) for run_id in earlier["plan"]["runs"]):
        return None
    plan: dict[str, Any] = earlier["plan"]
    return plan


class _Report:
    """Count how runs end, and pass it on."""

    def __init__(self, summary: Summary, progress: Progress) -> None:
        self.summary, self.progress = summary, progress

    def __call__(self, run: Run, outcome: Record | Failure) -> None:
        if isinstance(outcome, Failure):
            self.summary.failures.append(outcome)
        else:
            self.summary.done += 1
        self.progress.ended(run, outcome)


def _carry_out(schedule: Schedule, engine: Engine, report: _Report) -> None:
    try:
        with Interruption() as interruption:
            carry_out(schedule, engine, report, lambda: interruption.requested)
    finally:
        engine.stop()


def _start_engine(request: Request, workspace: Workspace, to_do: Sequence[Run]) -> Engine:
    from benchmark.engine.local import InProcess, LocalProcesses, Setup, worker_devices
    from benchmark.engine.work import pays

    along = tuple(run for run in to_do if run.stage == "stored") if pays(workspace.device) else ()
    setup = Setup(workspace, request.plugins, request.deterministic, along)
    if request.engine == "ray":
        from benchmark.engine.ray_cluster import RayCluster

        return RayCluster(setup, request.workers_per_gpu)
    if request.engine == "slurm":
        from benchmark.engine.slurm import SlurmJobs

        return SlurmJobs(setup, request.workers)
    devices = worker_devices(workspace.device, request.workers, request.workers_per_gpu)[: len(to_do)]
    return InProcess(setup) if len(devices) == 1 else LocalProcesses(setup, devices)


def _left_to_do(request: Request, plan: Sequence[Run]) -> tuple[list[Run], int]:
    """Return the runs that are to be done, and how many failed before and are left alone.

    Among the former are finished backbones whose weights are gone although a run that is to be done starts from them.
    """
    from benchmark.training.backbone import has_weights

    finished = set(finished_ids(request.folder))
    left = [run for run in plan if run.run_id not in finished]
    failures = failed_runs(request.folder)
    failed = {run.run_id for run in left if run.run_id in failures}
    if request.retry_failed:
        ask_again(request.folder, [failures[run_id] for run_id in sorted(failed)])
        failed = set()
    to_do = [run for run in left if run.run_id not in failed and not failed.intersection(run.parents)]
    needed = {parent for run in to_do for parent in run.parents if parent in finished}
    gone = {run_id for run_id in needed if not has_weights(request.folder, run_id)}
    return [*(run for run in plan if run.run_id in gone), *to_do], len(failed)


def planned_runs(request: Request) -> list[Run]:
    """Return the plan of an experiment without running it."""
    return _make_plan(request, open_dataset(request.settings.data, request.data_dir))


def planned_workspace(request: Request) -> Workspace:
    """Return what the runs of a plan would work with."""
    return _open_workspace(request, open_dataset(request.settings.data, request.data_dir))


def finished_request(
    results_dir: Path, experiment: str, data_dir: Path, device: str, plugins: tuple[Path, ...]
) -> Request:
    """Return the request that an experiment in the ledger stands for.

    Raises:
        UserError: there is no such experiment.
    """
    folder = experiment_folder(results_dir, experiment)
    settings = restore_settings(existing_experiment(folder)["settings"], folder)
    return with_remembered_plugins(Request(settings, experiment, results_dir, data_dir, device, plugins=plugins))


def finished_runs(request: Request) -> tuple[list[Run], Workspace]:
    """Return the finished runs of an experiment, and what is needed to work with them again.

    Raises:
        UserError: the data are not those that the experiment was run on.
    """
    data = open_dataset(request.settings.data, request.data_dir)
    refuse_mixture(request, read_experiment(request.folder), data.digest)
    runs = [run for run in _make_plan(request, data) if is_finished(request.folder, run.run_id)]
    return runs, _open_workspace(request, data)


def restore_weights(request: Request, record: Record) -> None:
    """Make sure that the weights of a finished end-to-end run are there: where they are not, it is trained again.

    Raises:
        UserError: the data or the plug-ins are not those that it was trained with.
    """
    from benchmark.engine.work import prepare_process
    from benchmark.training.predict import kept_weights

    runs, workspace = finished_runs(request)
    found = next((run for run in runs if run.run_id == record.run_id), None)
    if found is None:
        raise UserError(
            f"run {record.run_id} cannot be repeated with this code and these plug-ins; choose another by --run"
        )
    prepare_process(workspace.device, record.environment.get("deterministic") == "yes", request.plugins)
    kept_weights(found, workspace)


def _open_workspace(request: Request, data: OpenedDataset) -> Workspace:
    from benchmark.training.workspace import Workspace

    device = _device_of(request)
    return Workspace(
        settings=request.settings,
        manifest=data.manifest,
        dataset_digest=data.digest,
        images_file=data.images_file,
        experiment=request.folder,
        device=device,
        code=code_digest(request.plugins),
        checkpoint_seconds=request.checkpoint_seconds,
        compiled=is_compiled(request.compile, device, _steps_of_a_backbone(request.settings, data.n_learnt)),
    )


def _steps_of_a_backbone(settings: Settings, n_learnt: int) -> int:
    stage = settings.backbone_stage
    return stage.epochs * (n_learnt // stage.batch_size)


def _make_plan(request: Request, data: OpenedDataset) -> list[Run]:
    from benchmark.plan import make_plan

    load_plugins(request.plugins)
    return make_plan(request.settings, data.digest, len(data.manifest.classes), data.n_learnt)


def _device_of(request: Request) -> str:
    if request.engine == "ray":
        from benchmark.engine.ray_cluster import cluster_device, connect

        connect(request.workers)
        return cluster_device(request.device)
    if request.engine == "slurm":  # what this machine has says nothing of the nodes
        return "cuda" if request.device.startswith("cuda") else "cpu"
    return choose_device(request.device)


class Interruption:
    """Listens for Ctrl-C while the block lasts: once lets the runs under way finish, twice stops at once.

    Outside the main thread there is nothing to listen to.
    """

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> Interruption:
        self.listens = threading.current_thread() is threading.main_thread()
        if self.listens:
            self.before = signal.signal(signal.SIGINT, self._on_interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.listens:
            signal.signal(signal.SIGINT, self.before)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        os.write(2, NOTICE)


def adopt_runs(run_ids: Iterable[str], source: Path, target: Path) -> int:
    """Take over the finished runs that an experiment has and another one needs; returns how many.

    What later runs need (weights, outputs) is linked where the file system can. A run's record comes last, as when it
    was written.
    """
    adopted = 0
    for run_id in run_ids:
        if is_finished(target, run_id) or not is_finished(source, run_id):
            continue
        if artifact_folder(source, run_id).is_dir():
            _copy(artifact_folder(source, run_id), artifact_folder(target, run_id))
        _copy(run_folder(source, run_id), run_folder(target, run_id))
        adopted += 1
    return adopted


def _copy(source: Path, target: Path) -> None:
    """Link or copy a folder's files under temporary names, then rename them; `record.json` comes last."""
    target.mkdir(parents=True, exist_ok=True)
    files = [
        path for path in source.iterdir() if path.is_file() and path.suffix != ".lock" and ".half-" not in path.name
    ]
    for path in sorted(files, key=lambda path: path.name == "record.json"):
        partial = half_made(target / path.name)
        partial.unlink(missing_ok=True)
        try:
            os.link(path, partial)
        except OSError:
            shutil.copy2(path, partial)
        partial.replace(target / path.name)
