"""Which run comes next: every one after its parents, dear ones first, and nothing twice. Any engine carries it out."""

from __future__ import annotations

import heapq
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from benchmark.config import UserError
from benchmark.engine.outcomes import Busy, Failure, Halt, Lost, Outcome
from benchmark.ledger import Record

if TYPE_CHECKING:
    from benchmark.plan import Run

STAGE_ORDER = {"backbone": 0, "joint": 1, "cross-fitted": 2, "stored": 3}
RESTORES = 2  # how often what a run left may get lost before those that start from it fail
POLL = 1.0  # seconds between two looks at runs that another process is at

Finished = Callable[["Run", Record | Failure], None]
Priority = Callable[["Run"], tuple[float, ...]]


class Engine(Protocol):
    """Who does runs: in this process, in processes of this machine, or on a cluster."""

    @property
    def slots(self) -> int:
        """How many runs it takes at a time."""

    def submit(self, run: Run) -> None:
        """Take a run whose parents have ended."""

    def wait(self, seconds: float | None) -> list[tuple[Run, Outcome]]:
        """Return runs that have ended, as soon as there are some, or none after so many seconds."""

    def stop(self) -> None:
        """End at once, whatever is under way."""


def dear_first(run: Run) -> tuple[float, ...]:
    """Order runs so that those that others wait for come first, and among them the dearest."""
    return STAGE_ORDER[run.stage], -run.cost


class Schedule:
    """The runs that are left, and which of them can start.

    Args:
        to_do: runs that are to be done; parents that are not among them are taken as finished.
        known: every run of the plan, for parents whose weights turn out to be lost.
    """

    def __init__(self, to_do: Sequence[Run], known: Iterable[Run] = (), priority: Priority = dear_first) -> None:
        self.priority = priority
        self.known = {run.run_id: run for run in [*known, *to_do]}
        self.pending = {run.run_id for run in to_do}
        self.elsewhere: dict[str, Run] = {}
        self.restored: dict[str, int] = defaultdict(int)
        self._ready: list[tuple[tuple[float, ...], int, Run]] = []
        self._count = 0
        self._children: dict[str, list[Run]] = defaultdict(list)
        self._missing: dict[str, set[str]] = {}
        for run in to_do:
            self._enter(run)

    def _enter(self, run: Run) -> None:
        missing = self.pending.intersection(run.parents)
        self._missing[run.run_id] = missing
        for parent in missing:
            self._children[parent].append(run)
        if not missing:
            self._push(run)

    def _push(self, run: Run) -> None:
        self._count += 1
        heapq.heappush(self._ready, (self.priority(run), self._count, run))

    @property
    def left(self) -> bool:
        """Whether any run has not ended."""
        return bool(self.pending)

    def take(self, count: int) -> list[Run]:
        """Return up to so many runs that can start; they count as under way."""
        return [heapq.heappop(self._ready)[2] for _ in range(min(max(count, 0), len(self._ready)))]

    def ended(self, run: Run, outcome: Outcome) -> list[tuple[Run, Record | Failure]]:
        """Note how a run ended; return what has become final by it, the runs that can never start included.

        Raises:
            UserError: no run can get any further.
        """
        if isinstance(outcome, Halt):
            raise UserError(outcome.reason)
        if isinstance(outcome, Busy):
            self.elsewhere[run.run_id] = run
            return []
        if isinstance(outcome, Lost) and self._restore(run, outcome):
            return []
        if isinstance(outcome, Record):
            self._release(run)
            return [(run, outcome)]
        return self._fail(run, outcome.reason)

    def free_all(self) -> None:
        """Let the runs that other processes were at be taken again, to be done or to be found done."""
        for run in self.elsewhere.values():
            self._push(run)
        self.elsewhere.clear()

    def _restore(self, run: Run, lost: Lost) -> bool:
        """Put a parent before a run that misses its weights; False where that has not helped before."""
        parent = self.known.get(lost.parent)
        if lost.parent not in self.pending:
            if parent is None or self.restored[lost.parent] >= RESTORES:
                return False
            self.restored[lost.parent] += 1
            self.pending.add(lost.parent)
            self._enter(parent)
        self._enter(run)
        return True

    def _release(self, run: Run) -> None:
        self.pending.discard(run.run_id)
        for child in self._children.pop(run.run_id, []):
            self._missing[child.run_id].discard(run.run_id)
            if not self._missing[child.run_id] and child.run_id in self.pending:
                self._push(child)

    def _fail(self, run: Run, reason: str) -> list[tuple[Run, Record | Failure]]:
        self.pending.discard(run.run_id)
        final: list[tuple[Run, Record | Failure]] = [(run, Failure(run, reason))]
        for child in self._children.pop(run.run_id, []):
            if child.run_id in self.pending:
                final += self._fail(child, "a backbone that it starts from failed")
        return final


def carry_out(schedule: Schedule, engine: Engine, finished: Finished, asked_to_stop: Callable[[], bool]) -> None:
    """Let an engine do all runs of a schedule, and report each as it ends.

    A run that fails is reported with its reason; those that start from it are reported as failed too, the others go on.
    Once asked to stop, the runs under way are finished and no other is begun.

    Raises:
        KeyboardInterrupt: it was asked to stop.
    """
    flying = 0
    looked = time.monotonic()
    final: list[tuple[Run, Record | Failure]] = []
    while schedule.left or final:
        stopping = asked_to_stop()
        for run in [] if stopping else schedule.take(engine.slots - flying):
            engine.submit(run)
            flying += 1
        for run, result in final:  # after the engine has new work, as a report may take its time
            finished(run, result)
        if stopping and not flying:
            raise KeyboardInterrupt
        done = engine.wait(POLL) if flying else _pause(schedule)
        flying -= len(done)
        final = [end for run, outcome in done for end in schedule.ended(run, outcome)]
        if schedule.elsewhere and time.monotonic() - looked > POLL:
            looked = time.monotonic()
            schedule.free_all()


def _pause(schedule: Schedule) -> list[tuple[Run, Outcome]]:
    if schedule.elsewhere:
        time.sleep(POLL)
    return []
