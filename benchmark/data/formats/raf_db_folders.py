"""RAF-DB packed again in class folders.

train/1 … train/7, test/1 … test/7        (valid instead of test in some)
train_labels.csv, test_labels.csv         columns image, label; beside the folders or above them, or not there
"""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmark.config import UserError
from benchmark.data.formats import Format
from benchmark.data.formats.raf_db import IDS, TERMS, name_of, origin_of
from benchmark.data.listing import Listed, Named, image_files, part_folders, part_notes, read_text, to_manifest
from benchmark.data.manifest import Manifest
from benchmark.data.vocabulary import RAF_DB_CLASSES, SYNTHETIC_MARK

_OFFICIAL_NAME = re.compile(r"((?:train|test)_\d+)(?:_aligned)?\.jpg")


def _fits(base: Path) -> bool:
    folder = base / "train"
    return folder.is_dir() and {path.name for path in folder.iterdir() if path.is_dir()} >= {"1", "2"}


def _read(base: Path, data_dir: Path) -> Manifest:
    parts = part_folders(base)
    images: list[Listed] = []
    for part, folder in parts.items():
        found = [image for class_folder in sorted(folder.iterdir()) for image in _images_of(class_folder, part)]
        images += _in_listed_order(found, base, folder.name)
    labels = np.array([RAF_DB_CLASSES.index(image.label) for image in images])
    dataset, title = name_of(
        labels, np.array([image.part == "test" for image in images]), (base / SYNTHETIC_MARK).is_file()
    )
    named = Named(dataset, title, replace(origin_of(dataset), notes=part_notes(base, parts)))
    return to_manifest(named, images, base)


def _images_of(folder: Path, part: str) -> list[Listed]:
    if not folder.is_dir() or folder.name.startswith("."):
        return []
    if folder.name not in IDS:
        raise UserError(f"{folder} is no class of RAF-DB; its classes are the folders 1 to {len(IDS)}")
    return [Listed(_image_id(file), file, IDS[folder.name], part) for file in image_files(folder)]


def _image_id(file: Path) -> str:
    """Return RAF-DB's own name of an image where the file has it, so that re-packed images keep their ids."""
    official = _OFFICIAL_NAME.fullmatch(file.name)
    return f"{official[1]}.jpg" if official else "/".join(file.parts[-3:])


def _in_listed_order(images: list[Listed], base: Path, part: str) -> list[Listed]:
    """Order images as their label file does, or by name where there is none; file and folder must agree."""
    files = [folder / f"{part}_labels.csv" for folder in (base, base.parent)]
    label_file = next((file for file in files if file.is_file()), None)
    if label_file is None:
        return sorted(images, key=lambda image: image.image_id)
    by_name = {image.file.name: image for image in images}
    rows = list(csv.DictReader(read_text(label_file).splitlines()))
    ordered = []
    for number, row in enumerate(rows, start=2):
        name, label = row.get("image") or "", row.get("label") or ""
        if name not in by_name:
            raise UserError(
                f"{label_file}, line {number}: image '{name[:60]}' is not in {base / part}, or listed twice"
            )
        image = by_name.pop(name)
        if IDS.get(label) != image.label:
            raise UserError(
                f"{label_file}, line {number}: {name} has class '{label[:20]}', but lies in folder "
                f"{image.file.parent.name}; take both from one release"
            )
        ordered.append(image)
    if by_name:
        raise UserError(f"{label_file} does not list {len(by_name)} images of {base / part}, such as {min(by_name)}")
    return ordered


FORMAT = Format(
    name="raf-db",
    layout="folders train/1 to train/7 with test/ or valid/ beside it",
    terms=TERMS,
    fits=_fits,
    read=_read,
    aside=("*_labels.csv", SYNTHETIC_MARK),
    labels_stay=True,
)
