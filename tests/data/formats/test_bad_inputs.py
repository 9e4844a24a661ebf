"""What is wrong with a data set is one line that says so; the command ends with exit status 2."""

from __future__ import annotations

import io
import json
import stat
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from benchmark.config import UserError
from benchmark.data import archive
from benchmark.data.archive import unpacked
from benchmark.data.formats import read_dataset
from benchmark.data.formats.raf_db import NOTE_FILE
from tests.data.formats import layouts

GOOD_ROWS = ["1.png,happy,train,a", "2.png,sad,train,b", "3.png,happy,test,c"]


def csv_with(row: str, header: str = "image,label,split,group") -> Callable[[Path], None]:
    return lambda root: void(layouts.csv_list(root, [*GOOD_ROWS, row], header))


def void(_: object) -> None:
    return None


def spoilt_repack(change: Callable[[Path], object]) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        layouts.raf_db_folders(root)
        change(root)

    return write


def replace_line(file: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda root: (root / file).write_text((root / file).read_text().replace(old, new))


def affectnet_without(path: str, content: bytes | None = None) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        file = layouts.affectnet(root, range(8)) / path
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)

    return write


def affectnet_label(label: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        layouts.affectnet(root, range(8))
        np.save(root / "train_set" / "annotations" / "3_exp.npy", np.array(label))

    return write


def pickled_label(root: Path) -> None:
    layouts.affectnet(root, range(8))
    np.save(root / "train_set" / "annotations" / "3_exp.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


def folders_with(name: str) -> Callable[[Path], None]:
    return lambda root: void(layouts.folders(root, ("happy", "sad", "anger", name)))


def unknown_md5(root: Path) -> None:
    root.mkdir()
    (root / "fer2013.csv").write_text("emotion,pixels,Usage\n0,1 2 3,Training\n")


def votes_alone(root: Path) -> None:
    root.mkdir()
    layouts.ferplus_votes(root, ["Training"], [[9] + [0] * 9])


def imported_badly(root: Path) -> None:
    (root / NOTE_FILE.parent).mkdir(parents=True)
    (root / NOTE_FILE).write_text(json.dumps({"title": "x"}))
    (root / NOTE_FILE.parent / "list_patition_label.txt").write_text("train_00001.jpg 1\n")


def legend(row: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        layouts.open_faces(root, [("missing_0001.jpg", "fear")])
        with (root / "data" / "legend.csv").open("a") as file:
            file.write(row)

    return write


BAD: list[tuple[str, str, Callable[[Path], object], str]] = [
    ("no folder", "auto", lambda root: None, "does not exist"),
    ("empty folder", "auto", lambda root: root.mkdir(), "no data set of a known form"),
    ("a file of something else", "auto", lambda root: root.write_text("x"), "no data set of a known form"),
    ("csv: unknown class", "auto", csv_with("4.png,hapy,train,a"), "'hapy' is no known expression; did you mean hap"),
    ("csv: class by number", "auto", csv_with("4.png,3,train,a"), "line 5: '3' is no known expression"),
    ("csv: unknown split", "auto", csv_with("4.png,happy,fold1,a"), "split 'fold1' is unknown"),
    ("csv: missing image", "auto", csv_with("missing.png,happy,train,a"), "'missing.png' is missing"),
    ("csv: absolute path", "auto", csv_with("/etc/hostname,happy,train,a"), "lies outside"),
    ("csv: path upwards", "auto", csv_with("../x.png,happy,train,a"), "lies outside"),
    ("csv: no image", "auto", csv_with(",happy,train,a"), "lies outside"),
    ("csv: listed twice", "auto", csv_with("1.png,happy,train,a"), "1.png is listed twice"),
    ("csv: too few columns", "auto", csv_with("4.png,happy"), "has not 4 columns"),
    ("csv: too many columns", "auto", csv_with("4.png,happy,train,a,b"), "has not 4 columns"),
    ("csv: unknown column", "auto", csv_with("4.png,happy,train,a", "image,label,split,age"), "column 'age'"),
    ("csv: some persons", "auto", csv_with("4.png,happy,train,"), "names the person of 3 of 4"),
    ("csv: header alone", "auto", lambda root: layouts.csv_list(root, []), "lists no image"),
    ("csv: no training image", "auto", lambda root: layouts.csv_list(root, ["1.png,sad,test,a"]), "no training image"),
    ("csv: one class", "auto", lambda root: layouts.csv_list(root, GOOD_ROWS[:1]), "happiness alone"),
    ("folders: unknown class", "auto", folders_with("hungry"), "'hungry' is no known expression"),
    ("folders: no train", "auto", lambda root: layouts.folders(root, ("happy", "sad"), ("test",)), "none of training"),
    ("folders: two of train", "auto", lambda root: layouts.folders(root, ("happy", "sad"), ("train", "Training")),
     "two folders of train images"),
    ("folders: no images", "auto", lambda root: [(root / name).mkdir(parents=True) for name in ("happy", "sad")],
     "lists no image"),
    ("repack: unknown id", "raf-db", spoilt_repack(lambda root: (root / "DATASET/train/8").mkdir()), "no class of RAF"),
    ("repack: list against folder", "raf-db", spoilt_repack(replace_line("train_labels.csv", "00001_aligned.jpg,1",
     "00001_aligned.jpg,2")), "has class '2', but lies in folder 1"),
    ("repack: listed image missing", "raf-db", spoilt_repack(replace_line("train_labels.csv", "train_00001_",
     "train_77777_")), "is not in"),
    ("repack: image not listed", "raf-db", spoilt_repack(replace_line("train_labels.csv", "train_00001_aligned.jpg,1",
     "")), "does not list 1 images"),
    ("affectnet: no annotation", "auto", affectnet_without("train_set/annotations/3_exp.npy"), "has no annotation"),
    ("affectnet: broken label", "auto", affectnet_without("train_set/annotations/3_exp.npy", b"x"), "no class num"),
    ("affectnet: pickled annotation", "auto", pickled_label, "no class number"),
    ("affectnet: class 11", "auto", affectnet_label("11"), "class 11 is unknown"),
    ("fer2013: another file", "auto", unknown_md5, "not the published file"),
    ("ferplus: votes alone", "auto", votes_alone, "needs the images of FER2013"),
    ("open-faces: no image there", "auto", legend(""), "names no image"),
    ("open-faces: row cut off", "auto", legend("\n1,x.jpg"), "line 3 has no image or no emotion"),
    ("import: damaged note", "auto", imported_badly, "import the data again"),
    ("raf-db: something else", "raf-db", lambda root: layouts.folders(root, ("happy", "sad")), "looked for raf-db"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "write", "message"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_data_are_one_line(tmp_path: Path, name: str, write: Callable[[Path], object], message: str) -> None:
    root = tmp_path / "given"
    write(root)
    with pytest.raises(UserError, match=message) as caught:
        read_dataset(name, root, tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "data").rglob("*.png"))


def test_votes_of_another_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = layouts.fer2013(tmp_path / "fer", ["Training", "PrivateTest"], monkeypatch)
    layouts.ferplus_votes(root, ["Training", "PublicTest"], [[9] + [0] * 9] * 2)
    with pytest.raises(UserError, match="line 3: usage 'PublicTest' is 'PrivateTest'"):
        read_dataset("ferplus", root, tmp_path / "data")
    layouts.ferplus_votes(root, ["Training"], [[9] + [0] * 9])
    with pytest.raises(UserError, match="has 1 rows"):
        read_dataset("ferplus", root, tmp_path / "data")


def zipped(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in entries.items():
            opened.writestr(name, content)
    return path


def huge_header() -> bytes:
    """A PNG that says to be 50 000 by 50 000 pixels and holds none of them."""
    content = io.BytesIO()
    Image.new("L", (1, 1)).save(content, format="PNG")
    data = bytearray(content.getvalue())
    data[16:24] = (50_000).to_bytes(4, "big") * 2
    data[29:33] = crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


def linked() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("link.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def archive_of_links(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr(linked(), "/etc/passwd")
    return path


def archive_twice(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("a.png", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            opened.writestr("a.png", b"2")
    return path


ARCHIVES: list[tuple[str, Callable[[Path], object], str]] = [
    ("path outside", lambda path: zipped(path, {"../../evil.png": b"x"}), "leads outside"),
    ("absolute path", lambda path: zipped(path, {"/tmp/evil.png": b"x"}), "leads outside"),
    ("windows path", lambda path: zipped(path, {"..\\evil.png": b"x"}), "leads outside"),
    ("drive", lambda path: zipped(path, {"C:evil.png": b"x"}), "leads outside"),
    ("100 000 entries", lambda path: zipped(path, {f"{n}.png": b"" for n in range(100_000)}), "100000 entries"),
    ("50 000 x 50 000 pixels", lambda path: zipped(path, {"a.png": huge_header()}), "more than 10000 pixels"),
    ("link", archive_of_links, "is a link"),
    ("entry twice", archive_twice, "occurs twice"),
    ("no zip", lambda path: path.write_bytes(b"PK no zip"), "not a readable zip"),
    ("cut off", lambda path: path.write_bytes(zipped(path, {"a.png": b"x" * 999}).read_bytes()[:300]), "not a read"),
]  # fmt: skip


@pytest.mark.parametrize(("write", "message"), [row[1:] for row in ARCHIVES], ids=[row[0] for row in ARCHIVES])
def test_harmful_archives_are_refused_at_once(tmp_path: Path, write: Callable[[Path], object], message: str) -> None:
    path = tmp_path / "given.zip"
    write(path)
    started = time.perf_counter()
    with pytest.raises(UserError, match=message) as caught:
        unpacked(path, tmp_path / "data")
    assert time.perf_counter() - started < 2
    assert "\n" not in str(caught.value)
    assert not [file for file in tmp_path.rglob("*") if file.suffix == ".png"]


def test_an_entry_larger_than_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "given.zip", {"a.csv": b"x" * 2000, "b.csv": b"x" * 2000})
    monkeypatch.setattr(archive, "LARGEST_TOTAL", 3000)
    with pytest.raises(UserError, match="content has 4000 bytes"):
        unpacked(path, tmp_path / "data")
    monkeypatch.setattr(archive, "LARGEST_FILE", 1000)
    with pytest.raises(UserError, match=r"a\.csv' has 2000 bytes"):
        unpacked(path, tmp_path / "data")


def test_a_harmless_archive_is_unpacked_once(faces: Path, tmp_path: Path) -> None:
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w") as opened:
        for file in sorted(faces.rglob("*")):
            opened.write(file, Path("basic") / file.relative_to(faces))
    folder = unpacked(path, tmp_path / "data")
    assert read_dataset("auto", folder, tmp_path).image_ids == read_dataset("raf-db", faces, tmp_path).image_ids
    written = folder.stat().st_mtime_ns
    assert unpacked(path, tmp_path / "data") == folder
    assert folder.stat().st_mtime_ns == written
