"""One pass over all images: each is decoded once, into the array that training reads and into facts for checks."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from benchmark.config import UserError
from benchmark.cores import usable_cores

DECODER_FAULTS = (
    OSError, ValueError, SyntaxError, RuntimeError, TypeError, ArithmeticError, LookupError, EOFError, MemoryError,
    struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
LONGEST_SIDE = 10_000  # pixels; a larger image is not decoded
THUMBNAIL = 32  # pixels
_ROWS = 250  # images of one task
_WORTH_PROCESSES = 3000  # images from which a second process saves more than its start costs

FACTS = np.dtype(
    [
        ("sha256", "S64"),  # of the file's bytes
        ("pixels", "u8"),  # hash of size and decoded pixels
        ("hash", "u8"),  # perceptual, of the image
        ("mirrored", "u8"),  # perceptual, of the image turned left to right
        ("width", "i4"),
        ("height", "i4"),
        ("mode", "U8"),
        ("mean", "f4", 3),  # red, green, blue
        ("spread", "f4"),  # standard deviation of the grey values
        ("grey", "u1", (THUMBNAIL, THUMBNAIL)),
        ("fault", "U160"),  # why the image cannot be used, empty where it can
    ]
)


@dataclass(frozen=True)
class Target:
    """Where decoded images go: a file of N × size × size × 3 bytes that begin at `offset`."""

    path: Path
    size: int
    offset: int


def new_target(path: Path, images: int, size: int) -> Target:
    """Make the file of an (N, S, S, 3) uint8 array."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(images, size, size, 3))
    return Target(path, size, array.offset)


def scan(files: Sequence[Path], target: Target) -> np.ndarray:
    """Decode every image into the target and return its facts, (N,) of FACTS; a damaged image stays black.

    Processes write their own rows of the file, so that no array of all images is ever held in memory.
    """
    starts = range(0, len(files), _ROWS)
    parts = [files[start : start + _ROWS] for start in starts]
    workers = usable_cores()
    if workers == 1 or len(files) < _WORTH_PROCESSES:
        return np.concatenate([*map(_scan_rows, parts, starts, repeat(target))])
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context) as pool:
        return np.concatenate([*pool.map(_scan_rows, parts, starts, repeat(target))])


def decode(content: bytes, name: str, size: int) -> np.ndarray:
    """Decode one image as `scan` does: (size, size, 3) RGB, resized with antialiasing where its size differs.

    Raises:
        UserError: it cannot be read; the message calls it by `name`.
    """
    try:
        return _at_size(_decoded(content, np.zeros(1, FACTS)), size)
    except DECODER_FAULTS as error:
        raise UserError(f"{name} cannot be read as an image ({' '.join(str(error).split())}); give another") from error


def _at_size(pixels: Image.Image, size: int) -> np.ndarray:
    if pixels.size != (size, size):
        pixels = pixels.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(pixels)


def _scan_rows(files: Sequence[Path], start: int, target: Target) -> np.ndarray:
    facts = np.zeros(len(files), FACTS)
    decoded = np.zeros((len(files), target.size, target.size, 3), np.uint8)
    for row, pixels in enumerate(_examined(files, facts)):
        if pixels is not None:
            decoded[row] = _at_size(pixels, target.size)
    with target.path.open("r+b") as file:
        file.seek(target.offset + start * decoded[0].nbytes)
        file.write(decoded.tobytes())
    return facts


def _examined(files: Sequence[Path], facts: np.ndarray) -> Iterator[Image.Image | None]:
    """Yield the RGB image of each file, None where there is none, and write down its facts."""
    for row, file in enumerate(files):
        try:
            content = file.read_bytes()
            facts[row]["sha256"] = hashlib.sha256(content).hexdigest()
            pixels = _decoded(content, facts[row : row + 1])
        except DECODER_FAULTS as error:
            facts[row]["fault"] = " ".join(str(error).replace(str(file), "").split())[:160] or "unreadable"
            yield None
            continue
        _describe(pixels, facts[row : row + 1])
        yield pixels


def _decoded(content: bytes, fact: np.ndarray) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # large images are judged by LONGEST_SIDE, broken metadata do not matter
        try:
            opened = Image.open(io.BytesIO(content))
        except Image.UnidentifiedImageError as error:
            raise ValueError("it is no image") from error
        with opened as image:
            fact["width"], fact["height"] = image.size
            fact["mode"] = image.mode
            if max(image.size) > LONGEST_SIDE:
                raise ValueError(f"it is {image.width} by {image.height} pixels large, more than {LONGEST_SIDE}")
            return as_shown(image)


def as_shown(image: Image.Image) -> Image.Image:
    """Return the RGB picture that a viewer shows: upright, on white where it is transparent, the first of several.

    Grey pictures of 16 bits keep their upper 8.

    Raises:
        ValueError: pixels of a kind that has no one look: floating-point numbers, or 16 bits of which few are used.
    """
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it with 8 bits")
    if upright.mode.startswith("I"):
        values = np.asarray(upright).astype(np.int64)
        if values.min(initial=0) < 0 or values.max(initial=0) >= 1 << 16:
            raise ValueError("its pixels have more than 16 bits; save it with 8 bits")
        if values.max(initial=0) < 1 << 12:
            raise ValueError("its 16 bits are not filled, so that it would be nearly black; save it with 8 bits")
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if upright.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in upright.info:
        shown = upright.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")
    return upright.convert("RGB")


def _describe(pixels: Image.Image, fact: np.ndarray) -> None:
    from imagehash import phash

    content = np.asarray(pixels)
    small = pixels.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    name = hashlib.blake2b(content.tobytes() + repr(pixels.size).encode(), digest_size=8)
    fact["pixels"] = int.from_bytes(name.digest(), "big")
    fact["mean"] = content.mean(axis=(0, 1), dtype=np.float32)
    fact["spread"] = np.asarray(pixels.convert("L")).std(dtype=np.float32)
    fact["grey"] = np.asarray(small)
    fact["hash"] = _as_number(phash(small).hash)
    fact["mirrored"] = _as_number(phash(ImageOps.mirror(small)).hash)


def _as_number(bits: np.ndarray) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
