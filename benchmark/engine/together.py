"""On a GPU a fusion run takes along the runs whose heads can be trained as one with its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack

import torch

from benchmark.engine.claims import claim
from benchmark.engine.outcomes import Outcome
from benchmark.engine.work import settled, work
from benchmark.ledger import is_finished
from benchmark.plan import Run
from benchmark.training import leave_record
from benchmark.training.fit import DivergedError
from benchmark.training.stacked import stacks, train_together
from benchmark.training.workspace import Workspace

LARGEST_STACK = 64  # heads; the outputs of all their branches are held at once


def pays(device: str) -> bool:
    """Tell whether a device gains by stacks: a GPU waits between small steps, a CPU's core does not."""
    return device.startswith("cuda")


def work_together(run: Run, others: Sequence[Run], workspace: Workspace) -> Outcome:
    """Do a run, and where it pays those of the others that can be trained as one with it.

    The others are found finished when their turn comes. Where a stack fails, its runs are done one by one, which
    tells the one at fault from the rest.
    """
    if run.stage == "stored" and pays(workspace.device):
        with ExitStack() as held:
            alike = _alike(run, others, workspace)
            mine = [other for other in alike if held.enter_context(claim(workspace.experiment, other.run_id))]
            if len(mine) > 1:
                _do_together(mine, workspace)
    return work(run, workspace)


def _alike(run: Run, others: Sequence[Run], workspace: Workspace) -> list[Run]:
    """Return the run and those of the same method and settings that can start and have not ended; not too many."""
    found = [
        other
        for other in [run, *(other for other in others if other.run_id != run.run_id)]
        if other.stage == "stored"
        and other.method == run.method
        and settled(other, workspace.experiment) is None
        and all(is_finished(workspace.experiment, parent) for parent in other.parents)
    ]
    return found[:LARGEST_STACK] if run in found else []


def _do_together(runs: Sequence[Run], workspace: Workspace) -> None:
    for members in stacks(runs, workspace):
        if len(members) == 1:
            continue
        started = time.perf_counter()
        try:
            outcomes = train_together(members, workspace)
        except (DivergedError, torch.OutOfMemoryError):
            continue
        seconds = round((time.perf_counter() - started) / len(members), 3)
        for (run, _, _), outcome in zip(members, outcomes, strict=True):
            leave_record(run, outcome, seconds, workspace)
