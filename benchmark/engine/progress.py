"""Progress of an experiment on the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmark.ledger import Record, existing_experiment

if TYPE_CHECKING:
    from benchmark.engine.outcomes import Failure, Request
    from benchmark.plan import Run
    from benchmark.tracking.live import LiveMirror

LINES_APART = 15.0  # seconds between two lines where the output is no terminal


class TerminalProgress:
    """Show a bar with an estimate on a terminal, a line now and then elsewhere; all of it on standard error.

    The estimate weighs a run by its multiply-adds, so that it holds from the first large run on. A mirror is started
    once there is something to do.
    """

    def __init__(self, request: Request, mirror: LiveMirror | None) -> None:
        self.request, self.mirror = request, mirror
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
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
        self._say(f"Experiment '{self.request.experiment}': {len(to_do)} runs to do of {len(runs)}, {self._where()}")
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
        self.bar.update(self.task, advance=1, left=left, description=run.label[:60])
        if not isinstance(outcome, Record):
            self._tell(run, outcome.reason)
        elif not self.console.is_terminal and self._line_is_due():
            accuracy = 100 * outcome.metrics["validation_selected"]["accuracy"]
            rest = f", {left}" if left else ""
            self._say(f"{self.ended_runs}/{self.count} runs{rest}; last: {run.label}, {accuracy:.1f} %")
        if self.mirror is not None and (fault := self.mirror.fault()):
            self._say(fault)

    def _tell(self, run: Run, reason: str) -> None:
        """Say why a run failed, once for all runs of a method that fail alike."""
        if (run.method, reason) not in self.told:
            self.told.add((run.method, reason))
            self._say(f"failed: {run.label}: {reason}")

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
