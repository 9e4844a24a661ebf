"""One run, done where it is: in this process, a worker process, or on a machine of a cluster.

On a GPU a fusion run takes along the runs whose heads can be trained as one with its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from traceback import format_exception

import torch

from benchmark.engine.outcomes import Busy, Failed, Halt, Lost, Outcome
from benchmark.ledger import is_finished, read_failure, read_record, storage_fault, write_failure
from benchmark.ledger.claims import claim
from benchmark.plan import Run
from benchmark.plugins import blamed, load_plugins, loaded_sources
from benchmark.training import execute, leave_record
from benchmark.training.backbone import LostWeightsError, has_weights
from benchmark.training.device import set_up_torch
from benchmark.training.resume import checkpoint_path
from benchmark.training.stacked import Member, stacks, train_together
from benchmark.training.workspace import Workspace

LARGEST_STACK = 64  # heads; the outputs of all their branches are held at once


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


def pays(device: str) -> bool:
    """Tell whether a device gains by stacks: a GPU waits between small steps, a CPU's core does not."""
    return device.startswith("cuda")


def work_together(run: Run, others: Sequence[Run], workspace: Workspace) -> Outcome:
    """Do a run, and where it pays those of the others that can be trained as one with it.

    The others are found finished when their turn comes. Where a stack fails, whatever the reason, its runs are done
    one by one and it is not tried again: each fails or succeeds alone.
    """
    if run.stage == "stored" and pays(workspace.device) and run.run_id not in workspace.alone:
        with _alone_where_it_fails([run], workspace):
            _take_along(run, others, workspace)
        torch.cuda.empty_cache()  # what a stack took is free again, for other processes too
    return work(run, workspace)


def _take_along(run: Run, others: Sequence[Run], workspace: Workspace) -> None:
    with ExitStack() as held:
        alike = _alike(run, others, workspace)
        mine = [other for other in alike if held.enter_context(claim(workspace.experiment, other.run_id))]
        for members in stacks(mine, workspace) if len(mine) > 1 else []:
            with _alone_where_it_fails([member for member, _, _ in members], workspace):
                _do_together(members, workspace)


@contextmanager
def _alone_where_it_fails(runs: Sequence[Run], workspace: Workspace) -> Iterator[None]:
    """Note these runs as ones to be done alone if what is tried with them fails, and say so."""
    try:
        yield
    except Exception as error:  # whatever it is, the run at fault meets it again alone
        workspace.alone.update(run.run_id for run in runs)
        what = f"{runs[0].method}: {len(runs)} runs are done one by one, as training them together failed"
        logging.getLogger(__name__).warning("%s: %s", what, blamed(error))


def _alike(run: Run, others: Sequence[Run], workspace: Workspace) -> list[Run]:
    """Return the run and those of the same method and settings that can start and have not ended; not too many."""
    found = [
        other
        for other in [run, *(other for other in others if other.run_id != run.run_id)]
        if other.stage == "stored"
        and other.method == run.method
        and other.run_id not in workspace.alone
        and not changed_sources(other)
        and settled(other, workspace.experiment) is None
        and all(is_finished(workspace.experiment, parent) for parent in other.parents)
    ]
    return found[:LARGEST_STACK] if run in found else []


def _do_together(members: Sequence[Member], workspace: Workspace) -> None:
    if len(members) == 1:
        return
    started = time.perf_counter()
    outcomes = train_together(members, workspace)
    seconds = round((time.perf_counter() - started) / len(members), 3)
    for (run, _, _), outcome in zip(members, outcomes, strict=True):
        leave_record(run, outcome, seconds, workspace)
