"""Write a file whole or not at all, and read it again: every file of a ledger goes through here."""

from __future__ import annotations

import csv
import errno
import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmark.config import UserError

STORAGE_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)


def storage_fault(error: OSError) -> str | None:
    """Say in one line what is wrong with the disk and what to do; None for an error of another kind."""
    if error.errno not in STORAGE_FAULTS:
        return None
    where = error.filename or "the results or data folder"
    return (
        f"{where} cannot be written ({os.strerror(error.errno)}); free space or rights, or choose other folders; "
        "finished runs are kept, the same command goes on from here"
    )


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to; the file takes its own name when all of it is there, and never else."""
    partial = path.with_name(path.name + ".tmp")
    try:
        yield partial
        commit_file(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def commit_file(partial: Path, path: Path) -> None:
    """Bring a completely written file to disk and then under its name, and the name to disk."""
    _sync(partial)
    partial.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON file whole or not at all; a number that JSON does not have becomes null."""
    write_text(path, json.dumps(as_json(value), indent=1, sort_keys=True) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); delete the experiment or restore the file") from error
    return value


def read_rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def as_json(value: Any) -> Any:
    """Return a value as JSON has it: a number that it does not have becomes null, a tuple a list."""
    if isinstance(value, dict):
        return {key: as_json(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [as_json(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
