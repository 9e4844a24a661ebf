"""A list of images: a CSV file with the columns image, label and, where known, split and group.

    image,label,split,group
    faces/0001.png,happiness,train,anna

Paths are relative to the file; `split` is train, validation or test, `group` the person.
"""

from __future__ import annotations

import csv
from pathlib import Path

from benchmark.config import UserError
from benchmark.data.formats import Format
from benchmark.data.listing import NO_TEST, OWN_PARTS, PARTS, Listed, Named, class_of, read_text, to_manifest
from benchmark.data.manifest import Manifest, Origin

NAMES = ("manifest.csv", "labels.csv")
COLUMNS = ("image", "label", "split", "group")
TERMS = "Images of your own, or of others: ask those you have them from what their terms are."


def _file_of(base: Path) -> Path | None:
    if base.is_file():
        return base if base.suffix.lower() == ".csv" else None
    return next((base / name for name in NAMES if (base / name).is_file()), None)


def _fits(base: Path) -> bool:
    file = _file_of(base)
    return file is not None and {"image", "label"} <= set(_header(file))


def _header(file: Path) -> list[str]:
    with file.open("rb") as opened:
        first = opened.readline(1000).decode("utf-8-sig", errors="replace")
    return [name.strip().lower() for name in first.split(",")]


def _read(base: Path, data_dir: Path) -> Manifest:
    file = _file_of(base)
    assert file is not None, "read is called on what fits"
    header, *lines = read_text(file).splitlines()
    names = [name.strip().lower() for name in header.split(",")]
    if unknown := [name for name in names if name not in COLUMNS]:
        raise UserError(f"{file} has a column '{unknown[0][:40]}'; its columns are {', '.join(COLUMNS)}")
    mapping: dict[str, str] = {}
    images = []
    for number, row in enumerate(csv.DictReader(lines, fieldnames=names), start=2):
        where = f"{file}, line {number}"
        if None in row or any(row[name] is None for name in names):
            raise UserError(f"{where} has not {len(names)} columns, which its first line names")
        image = _listed(row, file.parent, where)
        mapping[row["label"]] = image.label
        images.append(image)
    parts = {image.part for image in images}
    if "train" not in parts and images:
        raise UserError(f"{file} lists no training image (split is 'train')")
    origin = Origin("csv", OWN_PARTS if "test" in parts else NO_TEST, mapping, TERMS)
    return to_manifest(Named("csv", f"faces of {file.parent.name}/{file.name}", origin), images, file)


def _listed(row: dict[str, str], folder: Path, where: str) -> Listed:
    name, part = row["image"].strip(), (row.get("split") or "train").strip().lower()
    path = folder / name
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise UserError(f"{where}: image '{name[:80]}' lies outside {folder}; give a path below the list's own folder")
    if not path.is_file():
        raise UserError(f"{where}: image '{name[:80]}' is missing from {folder}")
    if part not in PARTS:
        raise UserError(f"{where}: split '{part[:40]}' is unknown; write train, validation or test")
    return Listed(name, path, class_of(row["label"], where), PARTS[part], (row.get("group") or "").strip() or None)


FORMAT = Format(
    name="csv",
    layout=f"{' or '.join(NAMES)} with the columns image, label (and split, group)",
    terms=TERMS,
    fits=_fits,
    read=_read,
)
