"""What is found once and kept: files written whole or not at all, folders made once, digests of large files."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from PIL import Image

from benchmark.scratch import half_made, half_made_folder


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under its name only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = half_made(path)
    try:
        write_bytes(partial, content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file; the error of a full disk says which."""
    with naming(path):
        path.write_bytes(content)


def write_image(image: Image.Image, path: Path, **options: Any) -> None:
    """Write an image as PIL's `save` does; PIL's own error for a full disk would not say that it is one."""
    content = io.BytesIO()
    image.save(content, **options)
    write_bytes(path, content.getvalue())


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of the disk name what could not be written, where it does not name a file itself."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return a folder that `make` fills, unless an earlier call has; what fails leaves nothing behind."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            with half_made_folder(folder) as scratch:
                unfinished = scratch / "content"
                unfinished.mkdir()
                with naming(folder):
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
