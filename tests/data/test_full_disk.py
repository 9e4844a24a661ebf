"""A disk that is full or takes nothing, under every way in which data are kept: one line, nothing half-written."""

from __future__ import annotations

import errno
import os
import resource
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.config import UserError
from benchmark.data.archive import unpacked
from benchmark.data.formats import read_dataset
from benchmark.data.formats.raf_db import read_raf_db
from benchmark.data.memory import write_image, write_whole
from benchmark.data.store import image_facts, stored_images
from tests.data.formats import layouts
from tests.small_disk import on_a_small_disk


def zip_of(faces: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        for file in sorted(faces.rglob("*.*")):
            opened.write(file, file.relative_to(faces))
    return path


def kept(data_dir: Path) -> list[str]:
    """The files of a data folder but for locks and the digest of what was given."""
    files = (path for path in data_dir.rglob("*") if path.is_file())
    return sorted(
        path.name for path in files if path.suffix != ".lock" and not path.name.startswith(("digest-", "file-"))
    )


def check(folder: Path, words: list[str], largest_file: int = resource.RLIM_INFINITY) -> tuple[int | None, list[str]]:
    """Run `ferfuse data check` where a larger file is refused, as on a full disk; return status and complaints."""
    return on_a_small_disk(folder, ["data", "check", *words], largest_file)


def one_line(status: int | None, lines: list[str], reason: str) -> None:
    assert status == 2, lines
    assert len(lines) == 1, lines
    assert reason in lines[0]


def test_no_room_for_the_store_and_then_room(faces: Path, tmp_path: Path) -> None:
    words = ["--data-root", str(faces), "--set", "data.image_size=32"]
    one_line(*check(tmp_path, words, 300_000), ".npy cannot be written (File too large)")
    assert kept(tmp_path / "data") == []
    status, _ = check(tmp_path, words)
    assert status == 0
    assert len(kept(tmp_path / "data")) == 4, "array, facts, hashes and findings"


def test_no_room_for_what_a_zip_holds_and_then_room(faces: Path, tmp_path: Path) -> None:
    words = ["--data-root", str(zip_of(faces, tmp_path / "faces.zip"))]
    one_line(*check(tmp_path, words, 1_000), "cannot be written (File too large)")
    assert kept(tmp_path / "data") == []
    assert [path.suffix for path in (tmp_path / "data" / "unpacked").iterdir()] == [".lock"]
    assert check(tmp_path, words)[0] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="/sys is Linux's")
def test_a_data_folder_that_takes_nothing(faces: Path, tmp_path: Path) -> None:
    """/sys takes no folders, whoever asks."""
    for root in (faces, zip_of(faces, tmp_path / "faces.zip")):
        words = ["--data-root", str(root), "--data-dir", "/sys/kernel/data"]
        one_line(*check(tmp_path, words), "/sys/kernel/data")


def full(calls: int, write: Callable[..., object]) -> Callable[..., object]:
    """Write as long as there is room, and then fail as a full disk does."""
    left = iter(range(calls))

    def write_or_fail(*given: object, **named: object) -> object:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(*given, **named)

    return write_or_fail


@pytest.mark.parametrize("ask", [stored_images, image_facts])
def test_no_room_for_facts_leaves_no_array_either(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[..., object]
) -> None:
    monkeypatch.setattr(np, "savez", full(0, np.savez))
    with pytest.raises(OSError, match=r"No space left.*\.npy"):
        ask(read_raf_db(faces), 32, tmp_path)
    assert kept(tmp_path) == []
    monkeypatch.undo()
    ask(read_raf_db(faces), 32, tmp_path)
    assert len(kept(tmp_path)) == 2


def test_no_room_in_the_middle_of_a_zip(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zip_of(faces, tmp_path / "faces.zip")
    monkeypatch.setattr(zipfile.ZipFile, "extract", full(100, zipfile.ZipFile.extract))
    with pytest.raises(OSError, match="No space left") as caught:
        unpacked(archive, tmp_path / "data")
    assert caught.value.filename is not None
    assert [path.suffix for path in (tmp_path / "data" / "unpacked").iterdir()] == [".lock"]


def test_no_room_for_a_converted_image_is_no_damaged_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = layouts.fer2013(tmp_path / "fer", ["Training"] * 14 + ["PrivateTest"] * 7, monkeypatch)
    monkeypatch.setattr(Path, "write_bytes", full(12, Path.write_bytes))
    with pytest.raises(OSError, match="No space left"):
        read_dataset("fer2013", root, tmp_path / "data")
    assert [path.suffix for path in (tmp_path / "data" / "unpacked").iterdir()] == [".lock"]


def test_a_small_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_off(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:3])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", cut_off)
    with pytest.raises(OSError, match="No space left") as caught:
        write_whole(tmp_path / "store" / "found.json", b"{}" * 10)
    assert "found" in str(caught.value.filename)
    assert list((tmp_path / "store").iterdir()) == []


def test_an_image_is_the_same_bytes_by_either_way(tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8))
    for name, options in (("a.jpg", {"format": "JPEG", "quality": 92}), ("a.png", {"format": "PNG"})):
        write_image(image, tmp_path / name, **options)
        image.save(tmp_path / f"plain-{name}", **options)
        assert (tmp_path / name).read_bytes() == (tmp_path / f"plain-{name}").read_bytes()


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"train": "a file", "train/1/a.jpg": "an image"}, "cannot be unpacked"),
        ({f"{'n' * 300}.txt": "a name that no disk takes"}, "File name too long"),
    ],
    ids=["a file where a folder is to be", "a name too long"],
)
def test_a_zip_whose_names_cannot_be_files(tmp_path: Path, entries: dict[str, str], reason: str) -> None:
    archive = tmp_path / "odd.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for name, content in entries.items():
            opened.writestr(name, content)
    with pytest.raises(UserError, match=reason):
        unpacked(archive, tmp_path / "data")
    assert [path.suffix for path in (tmp_path / "data" / "unpacked").iterdir()] == [".lock"]
