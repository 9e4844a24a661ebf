"""Ctrl-C: once lets the runs under way finish, twice stops at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType

NOTICE = (
    b"\nstopping when the runs under way are finished; Ctrl-C again stops at once (what they have learnt up to their "
    b"last checkpoint is kept)\n"
)


class Interruption:
    """Listens for Ctrl-C while the block lasts; outside the main thread there is nothing to listen to."""

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
