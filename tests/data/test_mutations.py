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
NAMES = ("anger", "happiness", "neutral")


def csv_list(folder: Path) -> Path:
    rows = [f"{n}.png,{NAMES[n % 3]},{'train' if n < 9 else 'test'},p{n % 4}" for n in range(15)]
    return layouts.csv_list(folder, rows)


def ferplus(folder: Path) -> Path:
    for place, part in enumerate(("Train", "Valid", "Test")):
        lines = []
        for n in range(6):
            name = f"fer{6 * place + n:07d}.png"
            layouts.save(folder / f"FER2013{part}" / name, 6 * place + n)
            votes = [9 * (column == n % 3) for column in range(10)]
            lines.append(f'{name},"(0, 0, 48, 48)",{",".join(map(str, votes))}')
        (folder / f"FER2013{part}" / "label.csv").write_text("\n".join(lines))
    return folder


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "raf-db in folders": lambda folder: layouts.raf_db_folders(folder, test="test", lists=True),
    "folders": lambda folder: layouts.folders(folder, NAMES, each=4),
    "csv": csv_list,
    "affectnet": lambda folder: layouts.affectnet(folder, [n % 3 for n in range(9)]),
    "ferplus": ferplus,
}


def labels_of(manifest: Manifest) -> dict[str, str]:
    return {name: manifest.classes[label] for name, label in zip(manifest.image_ids, manifest.labels, strict=True)}


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
def test_damage_is_one_line_or_changes_no_label(tmp_path: Path, name: str, tries: int) -> None:
    source = tmp_path / "source"
    source.mkdir()
    root = LAYOUTS[name](source)
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
            check_data(manifest, DataSettings(split="official" if manifest.is_test.any() else "kfold"), data)
        except UserError as error:
            told += "\n" in str(error) or len(str(error)) == 0
            continue
        if path.suffix not in LISTS and not path.is_dir():
            found = labels_of(manifest)
            assert all(expected[image] == found[image] for image in found.keys() & expected.keys()), path
    assert told == 0
