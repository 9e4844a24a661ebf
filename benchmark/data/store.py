"""The decoded-image store: every image once, as uint8, in one array on disk, and the facts found on the way."""

from __future__ import annotations

import statistics
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image

from benchmark.config import UserError
from benchmark.data.manifest import Manifest
from benchmark.data.memory import naming
from benchmark.data.scan import DECODER_FAULTS, new_target, scan

LOOKED_AT = 200  # images whose size is read
DECODING = 2  # raise when the same files give other pixels


def stored_images(manifest: Manifest, image_size: int, data_dir: Path) -> Path:
    """Return the file of the (N, S, S, 3) uint8 array, decoding the images if no run has done so.

    S is `image_size`, or the images' own size where that is smaller: enlarging is left to the sampling step of
    training, where it costs neither disk nor memory. The file is named by the data's digest, S and DECODING, so that
    pixels which an earlier version decoded otherwise are not taken.

    Raises:
        UserError: an image cannot be read; the message names it.
    """
    digest = manifest.content_digest(data_dir / "store")
    path = _store_file(manifest, digest, image_size, data_dir)
    with FileLock(f"{path}.lock"):
        if not path.is_file():
            _decode_all(manifest, image_size, path)
    return path


def image_facts(manifest: Manifest, image_size: int, data_dir: Path) -> np.ndarray:
    """Return what is known of each image, (N,) of FACTS, decoding all images into the store if no call has done so.

    Unlike `stored_images` this goes on where images are damaged: their facts say so, and no array is kept.
    """
    digest = manifest.content_digest(data_dir / "store")
    path = _store_file(manifest, digest, image_size, data_dir)
    with FileLock(f"{path}.lock"):
        if not _facts_file(path).is_file():
            try:
                _decode_all(manifest, image_size, path)
            except UserError:
                if not _facts_file(path).is_file():
                    raise
    facts: np.ndarray = np.load(_facts_file(path))["facts"]
    return facts


def _store_file(manifest: Manifest, digest: str, image_size: int, data_dir: Path) -> Path:
    return data_dir / "store" / f"{digest}-{stored_size(manifest, image_size)}-{DECODING}.npy"


def _facts_file(path: Path) -> Path:
    """Name the file of facts, which do not depend on the size that images are stored at."""
    return path.with_name(f"{path.stem.partition('-')[0]}-facts-{DECODING}.npz")


def _decode_all(manifest: Manifest, image_size: int, path: Path) -> None:
    partial, unfinished = path.with_suffix(".partial"), path.with_suffix(".facts.npz")
    try:
        with naming(path):
            facts = scan(manifest.files, new_target(partial, len(manifest), stored_size(manifest, image_size)))
            np.savez(unfinished, facts=facts)
        unfinished.replace(_facts_file(path))
        faulty = np.flatnonzero(facts["fault"] != "")
        if faulty.size:
            first = faulty[0]
            raise UserError(
                f"{faulty.size} images cannot be read, first {manifest.files[first]} ({facts['fault'][first]}); "
                "replace them or take their lines out of the list"
            )
        partial.replace(path)
    finally:
        for rest in (partial, unfinished):
            rest.unlink(missing_ok=True)


def stored_size(manifest: Manifest, image_size: int) -> int:
    """Return the size asked for, or the images' own where it is smaller: the median of their shorter sides.

    Of large sets the sizes of images at even distances are read.
    """
    return min(image_size, _usual_side(manifest.files))


@lru_cache(maxsize=8)
def _usual_side(files: tuple[Path, ...]) -> int:
    for step in (max(1, len(files) // LOOKED_AT), 1):
        sides = [side for file in files[::step] if (side := _shorter_side(file)) is not None]
        if sides:
            return int(statistics.median_high(sides))
    raise UserError(f"none of the {len(files)} images can be read, such as {files[0]}")


def _shorter_side(file: Path) -> int | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                return min(image.size)
    except DECODER_FAULTS:
        return None
