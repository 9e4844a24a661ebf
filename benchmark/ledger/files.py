"""Write a file whole or not at all, seal it, and read it again: every file of a ledger goes through here."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmark.config import UserError
from benchmark.scratch import half_made

SEAL = "seal"
REMEDY = "restore the file, or delete it and let ferfuse write it again"
STORAGE_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)


def storage_fault(error: OSError) -> str | None:
    """Say in one line what is wrong with the disk and what to do; None for an error of another kind."""
    if error.errno not in STORAGE_FAULTS:
        return None
    where = error.filename or "the results or data folder"
    if error.errno in (errno.EACCES, errno.EPERM) and os.path.exists(where) and not os.access(where, os.R_OK):
        return f"{where} cannot be read ({os.strerror(error.errno)}); change its rights, or move it elsewhere"
    return (
        f"{where} cannot be written ({os.strerror(error.errno)}); free space or rights, or choose other folders; "
        "finished runs are kept, the same command goes on from here"
    )


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to; the file takes its own name when all of it is there, and never else."""
    partial = half_made(path)
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


def digest_of(value: Any) -> str:
    """Return the digest of a JSON value's content, however it is laid out."""
    text = json.dumps(as_json(value), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with a digest of its own content under `seal`."""
    content = {name: inner for name, inner in as_json(dict(value)).items() if name != SEAL}
    return {**content, SEAL: digest_of(content)}


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a sealed JSON file whole or not at all; a number that JSON does not have becomes null."""
    write_text(path, json.dumps(sealed(value), indent=1, sort_keys=True) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file and hold it against its seal; files of earlier versions have none.

    Raises:
        UserError: it is no JSON object, or was changed after it was sealed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); {REMEDY}") from error
    return parse_json(text, str(path), REMEDY)


def parse_json(text: str, where: str, remedy: str) -> dict[str, Any]:
    """Return a JSON object without its seal, which it is held against.

    Raises:
        UserError: it is no JSON object, or was changed after it was sealed; it says where, and the remedy.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is damaged ({error}); {remedy}") from error
    if not isinstance(value, dict):
        raise UserError(f"{where} is damaged (it holds no JSON object); {remedy}")
    seal = value.pop(SEAL, None)
    if seal is not None and seal != digest_of(value):
        raise UserError(f"{where} was changed after it was written (its seal is broken); {remedy}")
    return value


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file, nothing where there is none.

    Raises:
        UserError: it is damaged.
    """
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path} is damaged ({error}); {REMEDY}") from error
    if any(None in row or None in row.values() for row in rows):
        raise UserError(f"{path} is damaged (lines of different lengths); {REMEDY}")
    return rows


def as_json(value: Any) -> Any:
    """Return a value as JSON has it: a number that it does not have becomes null, a tuple a list."""
    if isinstance(value, dict):
        return {key: as_json(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [as_json(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
