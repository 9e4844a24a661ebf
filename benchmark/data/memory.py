"""What is found once and kept: files written whole or not at all, folders made once, digests of large files."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under its name only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.tmp")
    partial.write_bytes(content)
    partial.replace(path)


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return a folder that `make` fills, unless an earlier call has; what fails leaves nothing behind."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
                unfinished = Path(scratch) / "content"
                unfinished.mkdir()
                make(unfinished)
                unfinished.rename(folder)
    return folder


def file_digest(file: Path, memory: Path) -> str:
    """Return the hash of a file's bytes, remembered by its path, size and modification time."""
    status = file.stat()
    key = hashlib.sha256(f"{file.resolve()},{status.st_size},{status.st_mtime_ns}".encode()).hexdigest()[:32]
    remembered = memory / f"file-{key}.json"
    if remembered.is_file():
        return str(json.loads(remembered.read_text(encoding="utf-8"))["digest"])
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()[:32]
    write_whole(remembered, json.dumps({"file": file.name, "digest": digest}).encode())
    return digest
