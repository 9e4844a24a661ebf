"""Zip archives of unknown origin: looked through completely before anything is written, unpacked once."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from PIL import Image, UnidentifiedImageError

from benchmark.config import UserError
from benchmark.data.listing import IMAGE_SUFFIXES
from benchmark.data.memory import file_digest, made_once
from benchmark.data.scan import LONGEST_SIDE

MOST_ENTRIES = 90_000
LARGEST_DIRECTORY = 32 << 20  # bytes of the list of contents
LARGEST_FILE = 1 << 30
LARGEST_TOTAL = 16 << 30
LARGEST_IMAGE_FILE = 32 << 20
UNWRITABLE_NAMES = (errno.ENAMETOOLONG, errno.EEXIST, errno.EISDIR, errno.ENOTDIR)  # a file where a folder is to be
_END, _END_64 = b"PK\x05\x06", b"PK\x06\x06"


def unpacked(archive: Path, data_dir: Path) -> Path:
    """Return the folder that holds an archive's content, unpacked on the first call.

    Raises:
        UserError: no archive, a damaged one, or one that could do harm.
    """
    if not archive.is_file():
        raise UserError(f"archive {archive} does not exist; give the zip or folder of the data by --data-root")
    folder = data_dir / "unpacked" / f"zip-{file_digest(archive, data_dir / 'store')[:16]}"
    return made_once(folder, lambda unfinished: _unpack(archive, unfinished))


def _unpack(archive: Path, folder: Path) -> None:
    try:
        _refuse_long_directory(archive)
        with zipfile.ZipFile(archive) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir()]
            for entry in entries:  # some Windows tools write backslashes
                entry.filename = entry.filename.replace("\\", "/")
            _refuse_harmful_entries(archive, entries, folder)
            for entry in entries:
                if PurePosixPath(entry.filename).suffix.lower() in IMAGE_SUFFIXES:
                    _refuse_huge_image(archive, opened, entry)
            for entry in entries:
                _extract(archive, opened, entry, folder)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, struct.error, zlib.error) as error:
        raise UserError(f"{archive} is not a readable zip ({error}); get it again") from error


def _extract(archive: Path, opened: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    try:
        opened.extract(entry, folder)
    except OSError as error:
        if error.errno not in UNWRITABLE_NAMES:
            raise
        reason = os.strerror(error.errno)
        raise _refusal(archive, f"entry '{entry.filename[:80]}' cannot be unpacked ({reason})") from error


def _refuse_long_directory(archive: Path) -> None:
    """Refuse by the record at a zip's end, since reading a long list of contents costs time and memory itself."""
    with archive.open("rb") as opened:
        opened.seek(max(0, archive.stat().st_size - (1 << 16) - 200))
        tail = opened.read()
    end, end_64 = tail.rfind(_END), tail.rfind(_END_64)
    if end < 0:
        raise zipfile.BadZipFile("it has no list of contents")
    count, size = struct.unpack_from("<HL", tail, end + 10)
    if end_64 >= 0:
        count, size = struct.unpack_from("<QQ", tail, end_64 + 32)
    if count > MOST_ENTRIES or size > LARGEST_DIRECTORY:
        raise _refusal(archive, f"it has {count} entries, more than {MOST_ENTRIES}")


def _refuse_harmful_entries(archive: Path, entries: Sequence[zipfile.ZipInfo], folder: Path) -> None:
    names: set[str] = set()
    for entry in entries:
        name = entry.filename
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in name:
            raise _refusal(archive, f"entry '{name[:80]}' leads outside the archive's own folder")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise _refusal(archive, f"entry '{name[:80]}' is a link")
        if entry.flag_bits & 1:
            raise _refusal(archive, f"entry '{name[:80]}' is encrypted")
        if entry.file_size > LARGEST_FILE:
            raise _refusal(archive, f"entry '{name[:80]}' has {entry.file_size} bytes, more than {LARGEST_FILE}")
        if name in names:
            raise _refusal(archive, f"entry '{name[:80]}' occurs twice")
        names.add(name)
    total, free = sum(entry.file_size for entry in entries), shutil.disk_usage(folder).free
    if total > LARGEST_TOTAL:
        raise _refusal(archive, f"its content has {total} bytes, more than {LARGEST_TOTAL}")
    if total > free:
        raise UserError(
            f"{archive} needs {total >> 20} MiB, {folder.parent.parent} has {free >> 20}; choose another --data-dir"
        )


def _refuse_huge_image(archive: Path, opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Refuse an image by the size that its header states; what cannot be read is left for the check of all images."""
    if entry.file_size > LARGEST_IMAGE_FILE:
        raise _refusal(archive, f"image '{entry.filename[:80]}' has {entry.file_size} bytes")
    try:
        with warnings.catch_warnings(), opened.open(entry) as file:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                too_large = max(image.size) > LONGEST_SIDE
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        too_large = True
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        too_large = False
    if too_large:
        raise _refusal(archive, f"image '{entry.filename[:80]}' is more than {LONGEST_SIDE} pixels wide or high")


def _refusal(archive: Path, reason: str) -> UserError:
    return UserError(f"{archive} is refused: {reason}; unpack it yourself if you trust it, and give the folder")
