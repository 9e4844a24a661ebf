"""Who is at a run: a lock file for each, held by the process that does it and let go by the system when it dies."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

EXPERIMENT = "experiment"


@contextmanager
def claim(experiment: Path, run_id: str) -> Iterator[bool]:
    """Hold a run while the block lasts; gives False where another process holds it."""
    path = _lock_file(experiment, run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        path.write_text(json.dumps(_this_process()), encoding="utf-8")
        yield True
    finally:
        path.unlink(missing_ok=True)  # while it is held: whoever waits for it sees that the file is another one
        lock.release()


def holder(experiment: Path, run_id: str) -> dict[str, Any] | None:
    """Return which process (host, pid, since) is at a run; None where no living one is."""
    path = _lock_file(experiment, run_id)
    if not path.is_file():
        return None
    try:
        with FileLock(path, blocking=False):
            path.unlink(missing_ok=True)
            return None
    except Timeout:
        return _read(path)


def held_runs(experiment: Path) -> dict[str, dict[str, Any]]:
    """Return the runs that living processes are at, and which process each."""
    files = sorted((experiment / "locks").glob("*.lock"))
    found = {file.stem: holder(experiment, file.stem) for file in files if file.stem != EXPERIMENT}
    return {run_id: process for run_id, process in found.items() if process is not None}


def note_epoch(experiment: Path, run_id: str, epoch: int, epochs: int, accuracy: float) -> None:
    """Write into a run's lock file, which this process holds, how far it is; nothing where none is held.

    Args:
        epoch: the last one that is complete, of so many.
        accuracy: on the validation part after it, a share.
    """
    path = _lock_file(experiment, run_id)
    if path.is_file():
        found = {**_read(path), "epoch": epoch, "epochs": epochs, "accuracy": accuracy}
        path.write_text(json.dumps(found), encoding="utf-8")


def epoch_notes(experiment: Path) -> dict[str, dict[str, Any]]:
    """Return what the lock file of every run says; it is not asked whether a living process holds it."""
    files = (experiment / "locks").glob("*.lock")
    return {path.stem: _read(path) for path in files if path.stem != EXPERIMENT}


def how_far(note: Mapping[str, Any]) -> str:
    """Return how far a run under way is, in words; empty before its first epoch is complete."""
    if "epoch" not in note:
        return ""
    return f"epoch {note['epoch']} of {note['epochs']}, {100 * note['accuracy']:.1f} %"


@contextmanager
def experiment_claim(experiment: Path) -> Iterator[None]:
    """Hold what all runs share, `experiment.json` and the plan, while the block lasts; wait for it where need be."""
    path = _lock_file(experiment, EXPERIMENT)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield


def _lock_file(experiment: Path, name: str) -> Path:
    return experiment / "locks" / f"{name}.lock"


def _this_process() -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": now}


def _read(path: Path) -> dict[str, Any]:
    try:
        process: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # just taken, or just let go
        return {"host": None, "pid": None, "since": None}
    return process
