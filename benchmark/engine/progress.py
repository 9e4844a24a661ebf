"""Progress of an experiment on the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from benchmark.ledger import Record, existing_experiment
from benchmark.ledger.claims import epoch_notes, how_far

if TYPE_CHECKING:
    from benchmark.engine.outcomes import Failure, Request
    from benchmark.plan import Run
    from benchmark.tracking.live import LiveMirror

LINES_APART = 15.0  # seconds between two lines where the output is no terminal


class Bar(Progress):
    """The bar of the whole, and a line on the run under way below it."""

    def __init__(self, under_way: Callable[[], str], console: Console) -> None:
        self.under_way = under_way
        super().__init__(
            TextColumn("runs"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            disable=not console.is_terminal,
            refresh_per_second=2,
        )

    def get_renderables(self) -> Iterator[RenderableType]:
        """Yield the bar, and the line where there is something to say."""
        yield from super().get_renderables()
        if line := self.under_way():
            yield Text(line, no_wrap=True, overflow="ellipsis")


class TerminalProgress:
    """Show a bar with an estimate on a terminal, a line now and then elsewhere; all of it on standard error.

    The estimate weighs a run by its multiply-adds, so that it holds from the first large run on. A mirror is started
    once there is something to do.
    """

    def __init__(self, request: Request, mirror: LiveMirror | None) -> None:
        self.request, self.mirror = request, mirror
        self.console = Console(stderr=True)
        self.labels: dict[str, str] = {}
        self.bar = Bar(self._under_way, self.console)
        self.told: set[tuple[str | None, str]] = set()
        self.total = self.spent = 0.0
        self.count = self.ended_runs = 0
        self.started = self.last_line = time.monotonic()

    def __enter__(self) -> TerminalProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def planned(self, runs: Sequence[Run], to_do: Sequence[Run]) -> None:
        """Tell how much there is to do."""
        if self.mirror is not None and to_do:
            self.mirror.start()
        self.total, self.count = sum(run.cost for run in to_do), len(to_do)
        self.started = self.last_line = time.monotonic()
        self._say(f"Experiment '{self.request.experiment}': {len(to_do)} of {len(runs)} runs to do, {self._where()}")
        self.labels = {run.run_id: run.label for run in to_do}
        self.bar.start()
        self.task = self.bar.add_task("runs", total=len(to_do), left="")

    def _where(self) -> str:
        """Say what the runs are done on, and what was found of a GPU that is not used."""
        device = existing_experiment(self.request.folder)["hardware"]["device"]
        driver = f" (driver {device['driver']}, CUDA {device['cuda']})" if "driver" in device else ""
        chosen = ", chosen by --device auto" if device["asked"] == "auto" else ""
        return f"on {device['name']}{driver}{chosen}" + (f": {device['note']}" if "note" in device else "")

    def ended(self, run: Run, outcome: Record | Failure) -> None:
        """Count a run, and tell how long the rest will take."""
        self.spent += run.cost
        self.ended_runs += 1
        left = self._left()
        self.labels.pop(run.run_id, None)
        self.bar.update(self.task, advance=1, left=left)
        if not isinstance(outcome, Record):
            self._tell(run, outcome.reason)
        elif not self.console.is_terminal and self._line_is_due():
            accuracy = 100 * outcome.metrics["validation_selected"]["accuracy"]
            rest = f", {left}" if left else ""
            now = f"; now {line}" if (line := self._under_way()) else ""
            self._say(f"{self.ended_runs}/{self.count} runs{rest}; last: {run.label}, {accuracy:.1f} %{now}")
        if self.mirror is not None and (fault := self.mirror.fault()):
            self._say(fault)

    def _tell(self, run: Run, reason: str) -> None:
        """Say why a run failed, once for all runs of a method that fail alike."""
        if (run.method, reason) not in self.told:
            self.told.add((run.method, reason))
            self._say(f"failed: {run.label}: {reason}")

    def _under_way(self) -> str:
        """Say how far the run is that was begun first, and how many others are under way."""
        notes = {run_id: note for run_id, note in epoch_notes(self.request.folder).items() if run_id in self.labels}
        begun = sorted((note["since"] or "", run_id) for run_id, note in notes.items() if how_far(note))
        if not begun:
            return ""
        first = begun[0][1]
        others = f", {len(notes) - 1} more under way" if len(notes) > 1 else ""
        return f"{self.labels[first]}: {how_far(notes[first])}{others}"

    def _left(self) -> str:
        if self.spent == 0 or self.ended_runs == self.count:
            return ""
        seconds = (time.monotonic() - self.started) * (self.total - self.spent) / self.spent
        return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"

    def _line_is_due(self) -> bool:
        now = time.monotonic()
        if now - self.last_line < LINES_APART and self.ended_runs < self.count:
            return False
        self.last_line = now
        return True

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)
        sys.stderr.flush()
