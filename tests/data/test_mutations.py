"""Random damage to data of every format: one line or the same labels, never a traceback."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.config import DataSettings, UserError
from benchmark.data.formats import read_dataset
from benchmark.data.gate import check_data
from benchmark.data.manifest import Manifest
from tests.data.formats import layouts

LISTS = (".csv", ".txt", ".json", ".npy", ".lst")
SPLITS = {True: "official", False: "kfold"}
NAMES = ("anger", "happiness", "neutral")


Layout = Callable[[Path, pytest.MonkeyPatch], Path]


def csv_list(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [f"{n}.png,{NAMES[n % 3]},{'train' if n < 9 else 'test'},p{n % 4}" for n in range(15)]
    return layouts.csv_list(folder, rows)


def ferplus(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for place, part in enumerate(("Train", "Valid", "Test")):
        lines = []
        for n in range(6):
            name = f"fer{6 * place + n:07d}.png"
            layouts.save(folder / f"FER2013{part}" / name, 6 * place + n)
            votes = [9 * (column == n % 3) for column in range(10)]
            lines.append(f'{name},"(0, 0, 48, 48)",{",".join(map(str, votes))}')
        (folder / f"FER2013{part}" / "label.csv").write_text("\n".join(lines))
    return folder


def coded(pattern: str) -> Layout:
    def write(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        for n in range(12):
            layouts.save(folder / pattern.format(("AN", "HA", "NE")[n % 3], n, n % 4), n)
        return folder

    return write


def fer2013(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return layouts.fer2013(folder, ["Training"] * 9 + ["PublicTest"] * 3 + ["PrivateTest"] * 3, monkeypatch)


def ferplus_votes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    usages = ["Training"] * 9 + ["PublicTest"] * 3 + ["PrivateTest"] * 3
    fer2013(folder, monkeypatch)
    return layouts.ferplus_votes(folder, usages, [[9 * (c == n % 3) for c in range(10)] for n in range(len(usages))])


LAYOUTS: dict[str, Layout] = {
    "raf-db": lambda folder, _: layouts.raf_db(folder),
    "raf-db in folders": lambda folder, _: layouts.raf_db_folders(folder, test="test", lists=True),
    "folders": lambda folder, _: layouts.folders(folder, NAMES, each=4),
    "csv": csv_list,
    "affectnet": lambda folder, _: layouts.affectnet(folder, [n % 3 for n in range(9)]),
    "ferplus": ferplus,
    "ferplus of FER2013": ferplus_votes,
    "fer2013": fer2013,
    "jaffe": coded("KL.{0}{2}.{1}.tiff"),
    "kdef": coded("AM{1:02d}{0}S.JPG"),
    "ck+": lambda folder, _: layouts.ck_plus(folder, {f"S{n:03d}/001": n % 4 for n in range(8)}, frames=4),
    "expw": lambda folder, _: layouts.expw(folder, [f"{n}.jpg 0 2 2 40 40 9.5 {n % 7}" for n in range(9)]),
    "open-faces": lambda folder, _: layouts.open_faces(
        folder, [(f"P{n}_0001.jpg", ("anger", "happiness", "neutral")[n % 3]) for n in range(24)]
    ),
}


def labels_of(manifest: Manifest) -> dict[str, str]:
    """Class by the name of the image, or of its file where images are numbered by their place."""
    numbered = manifest.dataset == "open-faces"
    names = [file.name for file in manifest.files] if numbered else manifest.image_ids
    return {name: manifest.classes[label] for name, label in zip(names, manifest.labels, strict=True)}


def damaged(root: Path, generator: random.Random) -> Path:
    """Damage one file or folder of a tree and return what was damaged."""
    paths = sorted(path for path in root.rglob("*"))
    path = generator.choice(paths)
    kind = generator.choice(["flip", "flip", "cut", "empty", "delete", "rename", "suffix", "noise"])
    if path.is_dir():
        if kind in ("flip", "cut", "empty", "delete"):
            shutil.rmtree(path)
        else:
            path.rename(path.with_name(path.name + generator.choice(["x", " (2)", ".bak"])))
        return path
    data = bytearray(path.read_bytes())
    if kind == "flip" and data:
        data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
    elif kind == "cut":
        del data[generator.randrange(len(data) + 1) :]
    elif kind == "noise":
        data = bytearray(generator.randbytes(max(1, len(data))))
    if kind in ("flip", "cut", "noise"):
        path.write_bytes(bytes(data))
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "delete":
        path.unlink()
    else:
        suffix = generator.choice([".JPG", ".gif", ".heic", ""])
        path.rename(path.with_suffix(suffix) if kind == "suffix" else path.with_name("x" + path.name))
    return path


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("tries", [12, pytest.param(400, marks=pytest.mark.slow)])
def test_damage_is_one_line_or_changes_no_label(
    tmp_path: Path, name: str, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    root = LAYOUTS[name](source, monkeypatch)
    source = root if root.is_dir() else root.parent
    generator = random.Random(name)
    expected = labels_of(read_dataset("auto", source, tmp_path / "data"))
    told = 0
    for _ in range(tries):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(source, copy)
        path = damaged(copy, generator)
        data = tmp_path / "data"
        shutil.rmtree(data, ignore_errors=True)
        try:
            manifest = read_dataset("auto", copy, data)
            check_data(manifest, DataSettings(split=SPLITS[bool(manifest.is_test.any())]), data)
        except UserError as error:
            told += "\n" in str(error) or len(str(error)) == 0
            continue
        if path.suffix not in LISTS and not path.is_dir():
            found = labels_of(manifest)
            assert all(expected[image] == found[image] for image in found.keys() & expected.keys()), path
    assert told == 0


ASIDE = {"expw": "image/*", "open-faces": "images/*"}  # folders whose pictures count by their list alone


@pytest.mark.parametrize("name", LAYOUTS)
def test_found_is_used_or_named(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is thrown among the files of a format, it is named: pictures as an error, all else as a warning."""
    root = LAYOUTS[name](tmp_path / "source", monkeypatch)
    before = read_dataset("auto", root, tmp_path / "data")
    assert before.origin.unused == before.origin.other == ()
    folders = sorted({root, *(path for path in root.rglob("*") if path.is_dir())})
    generator = random.Random(name)
    pictures, other = set(), set()
    for number in range(6):
        place = generator.choice(folders) if number % 2 else root / f"more_{number}" / "anger"
        for suffix, found in ((".png", pictures), (".heic", pictures), (".zip", other), (".mat", other)):
            path = place / f"added_{number}{suffix}"
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_bytes(b"x")
            found.add(path.relative_to(root).as_posix())
    hidden = layouts.save(root / ".fear" / "1.png", 77)
    other.add(hidden.relative_to(root).as_posix())
    try:
        manifest = read_dataset("auto", root, tmp_path / "data")
    except UserError as error:
        named = "added_" in str(error)
    else:
        left_out = set(manifest.origin.accounted) if name in ASIDE else set()
        used = {path.relative_to(root).as_posix() for path in {*manifest.files, *left_out} if root in path.parents}
        aside = {path for path in pictures if Path(path).match(ASIDE.get(name, ""))} if name in ASIDE else set()
        named = used | aside | set(manifest.origin.unused) >= pictures and set(manifest.origin.other) == other
        assert not used & set(manifest.origin.unused)
        settings = DataSettings(split=SPLITS[bool(manifest.is_test.any())])
        findings = check_data(manifest, settings, tmp_path / "data").findings
        assert {"unused-files", "unused-images"} <= {one.code for one in findings}
        assert len(manifest) >= len(before)
    assert named
