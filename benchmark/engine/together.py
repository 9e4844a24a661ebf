"""On a GPU a fusion run takes along the runs whose heads can be trained as one with its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch

from benchmark.engine.outcomes import Outcome
from benchmark.engine.work import changed_sources, settled, work
from benchmark.ledger import is_finished
from benchmark.ledger.claims import claim
from benchmark.plan import Run
from benchmark.plugins import blamed
from benchmark.training import leave_record
from benchmark.training.stacked import Member, stacks, train_together
from benchmark.training.workspace import Workspace

LARGEST_STACK = 64  # heads; the outputs of all their branches are held at once


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
