"""One run, done where it is: in this process, a worker process, or on a machine of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from traceback import format_exception

from benchmark.engine.outcomes import Busy, Failed, Halt, Lost, Outcome
from benchmark.ledger import is_finished, read_failure, read_record, storage_fault, write_failure
from benchmark.ledger.claims import claim
from benchmark.plan import Run
from benchmark.plugins import blamed, load_plugins, loaded_sources
from benchmark.training import execute
from benchmark.training.backbone import LostWeightsError, has_weights
from benchmark.training.device import set_up_torch
from benchmark.training.resume import checkpoint_path
from benchmark.training.workspace import Workspace


def prepare_process(device: str, deterministic: bool, plugins: Sequence[Path]) -> None:
    """Make this process ready for runs: its device, and the user's methods."""
    set_up_torch(device, deterministic=deterministic)
    load_plugins(plugins)


def work(run: Run, workspace: Workspace) -> Outcome:
    """Do a run unless it is done or another process is at it; a failure ends this run alone and is noted."""
    try:
        with claim(workspace.experiment, run.run_id) as mine:
            return _done_or_do(run, workspace) if mine else Busy()
    except OSError as error:
        reason = storage_fault(error)
        if reason is None:
            raise
        return Halt(reason)


def settled(run: Run, experiment: Path) -> Outcome | None:
    """Return how a run ended before; None where it is to be done, be it for its weights alone."""
    if is_finished(experiment, run.run_id) and (run.kind == "fusion" or has_weights(experiment, run.run_id)):
        return read_record(experiment, run.run_id)
    failure = read_failure(experiment, run.run_id)
    return Failed(failure["reason"]) if failure and not failure["again"] else None


def _done_or_do(run: Run, workspace: Workspace) -> Outcome:
    experiment = workspace.experiment
    if outcome := settled(run, experiment):
        return outcome
    if changed := changed_sources(run):
        return Failed(f"the plug-in of {changed} was edited since this was planned; the same command runs what is now")
    try:
        return execute(run, workspace)
    except LostWeightsError as error:
        return Lost(error.run_id, str(error))
    except Exception as error:  # the reason is kept, the other runs go on
        if isinstance(error, OSError) and storage_fault(error):
            raise
        reason, trace = blamed(error), "".join(format_exception(error))
    checkpoint_path(experiment, run.run_id).unlink(missing_ok=True)
    write_failure(experiment, run.run_id, reason, trace)
    return Failed(reason)


def changed_sources(run: Run) -> str:
    """Return what of a run this process has loaded from another source than that of the run's id."""
    loaded = loaded_sources()
    planned: dict[str, str] = run.hyperparameters.get("sources", {})
    return ", ".join(name for name, digest in planned.items() if name not in loaded or loaded[name].digest != digest)
