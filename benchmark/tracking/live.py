"""The mirror beside an experiment: a process of its own that reads the ledger, so that no run ever waits for MLflow.

It imports mlflow and no torch. The experiment tells it only that it may begin, and at the end whether all went well.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

PATIENCE = 90.0  # seconds that the end of an experiment waits for its mirror
FINISHED = "finished"


@dataclass(frozen=True)
class MirrorOptions:
    """What is mirrored: the experiment's folder, its report, the plug-ins of its methods, the machine's load."""

    folder: Path
    report: Path
    plugins: Sequence[Path] = ()
    system_metrics: bool = False

    def arguments(self) -> list[str]:
        """Return the words that the process is started with."""
        load = ["--system-metrics"] if self.system_metrics else []
        return [*load, str(self.folder), str(self.report), *map(str, self.plugins)]


class LiveMirror:
    """Start the process when there is something to do, and say in one line if it gives up."""

    def __init__(self, options: MirrorOptions) -> None:
        self.options = options
        self.process: subprocess.Popen[str] | None = None
        self.told = False

    def __enter__(self) -> LiveMirror:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        line = self.close(finished=error is None)
        if line:
            print(line, file=sys.stderr, flush=True)

    def start(self) -> None:
        """Begin to mirror."""
        command = [sys.executable, "-m", "benchmark.tracking", *self.options.arguments()]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def fault(self) -> str | None:
        """Return why the mirror has given up, once; None while it runs."""
        if self.process is None or self.told or self.process.poll() is None:
            return None
        return self.close(finished=False)

    def close(self, *, finished: bool, patience: float = PATIENCE) -> str | None:
        """Let the mirror write the rest, for a while; returns what the user has to know, if anything."""
        if self.process is None or self.told:
            return None
        self.told = True
        try:
            said, _ = self.process.communicate(FINISHED if finished else "", timeout=patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            return self._line(f"it did not take everything within {patience:.0f} seconds")
        reason = said.strip() or f"its process ended with {self.process.returncode}"
        return self._line(reason) if self.process.returncode else None

    def _line(self, reason: str) -> str:
        return (
            f"MLflow is behind ({reason}); the ledger keeps everything, and "
            f"`ferfuse track --sync --experiment {self.options.folder.name}` writes the rest"
        )
