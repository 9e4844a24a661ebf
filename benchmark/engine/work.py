"""One run, done where it is: in this process, a worker process, or on a machine of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark.engine.claims import claim
from benchmark.engine.outcomes import Busy, Failed, Halt, Lost, Outcome
from benchmark.ledger import is_finished, read_failure, read_record, storage_fault, write_failure
from benchmark.plan import Run
from benchmark.training import execute
from benchmark.training.backbone import LostWeightsError, has_weights
from benchmark.training.device import set_up_torch
from benchmark.training.resume import checkpoint_path
from benchmark.training.workspace import Workspace
from fusion_methods import load_entry_points, load_plugin

LONGEST_REASON = 500


def prepare_process(device: str, deterministic: bool, plugins: Sequence[Path]) -> None:
    """Make this process ready for runs: its device, and the user's methods."""
    set_up_torch(device, deterministic=deterministic)
    load_entry_points()
    for plugin in plugins:
        load_plugin(plugin)


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
    try:
        return execute(run, workspace)
    except LostWeightsError as error:
        return Lost(error.run_id, str(error))
    except Exception as error:  # the reason is kept, the other runs go on
        if isinstance(error, OSError) and storage_fault(error):
            raise
        reason = reason_of(error)
    checkpoint_path(experiment, run.run_id).unlink(missing_ok=True)
    write_failure(experiment, run.run_id, reason)
    return Failed(reason)


def reason_of(error: Exception) -> str:
    """Say in one line what went wrong."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_REASON]
