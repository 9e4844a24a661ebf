import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.config import UserError
from benchmark.data.formats.raf_db import IMAGE_FOLDER, read_raf_db
from benchmark.data.store import stored_images


def test_holds_every_image_decoded(faces: Path, tmp_path: Path) -> None:
    manifest = read_raf_db(faces)
    array = np.load(stored_images(manifest, 32, tmp_path), mmap_mode="r")
    assert array.shape == (168, 32, 32, 3)
    assert array.dtype == np.uint8
    for row in (0, 100, 167):
        with Image.open(manifest.files[row]) as image:
            expected = np.asarray(image.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(array[row], expected)


def test_is_not_larger_than_the_images(faces: Path, tmp_path: Path) -> None:
    array = np.load(stored_images(read_raf_db(faces), 224, tmp_path), mmap_mode="r")
    assert array.shape == (168, 100, 100, 3)


def test_decodes_once(faces: Path, tmp_path: Path) -> None:
    first = stored_images(read_raf_db(faces), 32, tmp_path)
    written = first.stat().st_mtime_ns
    assert stored_images(read_raf_db(faces), 32, tmp_path) == first
    assert first.stat().st_mtime_ns == written


@pytest.mark.parametrize("content", [b"no image", b"", "cut"], ids=["text", "empty", "cut off"])
def test_unreadable_image_is_named_and_nothing_is_left(faces: Path, tmp_path: Path, content: bytes | str) -> None:
    root = Path(shutil.copytree(faces, tmp_path / "basic"))
    image = root / IMAGE_FOLDER / "train_00007_aligned.jpg"
    image.write_bytes(image.read_bytes()[:700] if isinstance(content, str) else content)
    with pytest.raises(UserError, match=r"train_00007_aligned\.jpg") as caught:
        stored_images(read_raf_db(root), 32, tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "data").rglob("*.npy"))
    assert not list((tmp_path / "data").rglob("*.partial"))


def test_grey_images_become_three_channels(faces: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(faces, tmp_path / "basic"))
    path = root / IMAGE_FOLDER / "train_00001_aligned.jpg"
    with Image.open(path) as image:
        grey = image.convert("L")
    grey.save(path)
    array = np.load(stored_images(read_raf_db(root), 32, tmp_path / "data"))
    np.testing.assert_array_equal(array[0, :, :, 0], array[0, :, :, 1])
