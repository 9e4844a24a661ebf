"""Half-made files and folders: each carries its process's number, and those of dead processes are cleared away."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MARK = re.compile(r"\.(\d+)\.half-[^.]*$")


def half_made(path: Path) -> Path:
    """Return a name beside a file for this process to write to; what dead ones left there is removed."""
    clear(path)
    return path.with_name(f"{path.name}.{os.getpid()}.half-tmp")


@contextmanager
def half_made_folder(beside: Path) -> Iterator[Path]:
    """Give an empty folder beside a path, on the same disk, which is removed at the end, or by the next one."""
    clear(beside)
    folder = Path(tempfile.mkdtemp(dir=beside.parent, prefix=f"{beside.name}.{os.getpid()}.half-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clear(path: Path) -> None:
    """Remove what processes of this machine that are dead left half-made beside a path."""
    for left in path.parent.glob(f"{_escaped(path.name)}.*.half-*"):
        found = MARK.search(left.name)
        if found and not _alive(int(found[1])):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def _escaped(name: str) -> str:
    return re.sub(r"([\[\]*?])", r"[\1]", name)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
