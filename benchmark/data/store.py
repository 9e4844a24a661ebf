"""The decoded-image store: every image once, as uint8, in one array on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock
from PIL import Image, UnidentifiedImageError

from benchmark.config import UserError
from benchmark.data.manifest import Manifest


def stored_images(manifest: Manifest, image_size: int, data_dir: Path) -> Path:
    """Return the file of the (N, S, S, 3) uint8 array, decoding the images if no run has done so.

    S is `image_size`, or the images' own size where that is smaller: enlarging is left to the sampling step of
    training, where it costs neither disk nor memory. The file is named by the data's digest and S.

    Raises:
        UserError: an image cannot be read; the message names it.
    """
    digest = manifest.content_digest(data_dir / "store")
    size = stored_size(manifest, image_size)
    path = data_dir / "store" / f"{digest}-{size}.npy"
    with FileLock(f"{path}.lock"):
        if not path.is_file():
            partial = path.with_suffix(".partial")
            _decode_all(manifest, size, partial)
            partial.replace(path)
    return path


def stored_size(manifest: Manifest, image_size: int) -> int:
    """Return S: `image_size`, or the size of the data's first image where that is smaller."""
    with _open(manifest.files[0]) as image:
        return min(image_size, *image.size)


def _decode_all(manifest: Manifest, size: int, path: Path) -> None:
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(len(manifest), size, size, 3))
    try:
        for row, file in enumerate(manifest.files):
            array[row] = decode(file, size)
        array.flush()
    except UserError:
        os.unlink(path)
        raise


def decode(file: Path | BinaryIO, size: int) -> np.ndarray:
    """Decode one image to (size, size, 3) RGB, resized with antialiasing where its size differs."""
    with _open(file) as image:
        try:
            pixels = image.convert("RGB")
        except (OSError, ValueError, SyntaxError) as error:
            raise UserError(
                f"image {file} is damaged ({error}); replace it or take its line out of the list"
            ) from error
    if pixels.size != (size, size):
        pixels = pixels.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(pixels)


def _open(file: Path | BinaryIO) -> Image.Image:
    try:
        return Image.open(file)
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise UserError(f"{file} is not a readable image; replace it or take its line out of the list") from error
