"""A list of images: a CSV file with the columns image, label and, where known, split and group.

    image,label,split,group
    faces/0001.png,happiness,train,anna

Paths are relative to the file; `split` is train, validation or test, `group` the person.
"""

from __future__ import annotations

from pathlib import Path

from benchmark.config import UserError
from benchmark.data.formats import Format
from benchmark.data.listing import (
    NO_TEST,
    OWN_PARTS,
    Line,
    Listed,
    Named,
    class_of,
    columns_of,
    part_named,
    read_list,
    to_manifest,
)
from benchmark.data.manifest import Manifest, Origin
from benchmark.data.vocabulary import class_named

NAMES = ("manifest.csv", "labels.csv")
BY_PART = ("train.csv", "test.csv")  # or two lists and more, each of one part
COLUMNS = ("image", "label", "split", "group")
TERMS = "Images of your own, or of others: ask those you have them from what their terms are."


def _lists_of(base: Path) -> dict[Path, str | None]:
    """Return the lists of a folder, each with the part that its name says; several only where each has a part."""
    if base.is_file():
        return {base: None} if base.suffix.lower() == ".csv" else {}
    single = next((base / name for name in NAMES if (base / name).is_file()), None)
    if single is not None:
        return {single: None}
    if not base.is_dir() or not all((base / name).is_file() for name in BY_PART):
        return {}
    found = ((path, part_named(path.stem)) for path in sorted(base.glob("*.csv")))
    return {path: part for path, part in found if part}


def fits(base: Path) -> bool:
    """Tell whether a folder holds lists of this form, by their names and first lines."""
    lists = _lists_of(base)
    return bool(lists) and all({"image", "label"} <= set(columns_of(file)) for file in lists)


def _read(base: Path, data_dir: Path) -> Manifest:
    mapping: dict[str, str] = {}
    images: list[Listed] = []
    lists = _lists_of(base)
    for file, part in lists.items():
        names, lines = read_list(file)
        if unknown := [name for name in names if name not in COLUMNS]:
            raise UserError(f"{file} has a column '{unknown[0][:40]}'; its columns are {', '.join(COLUMNS)}")
        for line in lines:
            image = _listed(line, file.parent, part)
            mapping[line.cells["label"]] = image.label
            images.append(image)
        _refuse_other_folders(file, images)
    file = next(iter(lists))
    parts = {image.part for image in images}
    if "train" not in parts and images:
        raise UserError(f"{file} lists no training image (split is 'train')")
    parted = OWN_PARTS if "test" in parts else NO_TEST
    origin = Origin("csv", parted, mapping, TERMS, accounted=frozenset(lists))
    return to_manifest(Named("csv", f"faces of {file.parent.name}/{file.name}", origin), images, file)


def _listed(line: Line, folder: Path, part: str | None) -> Listed:
    name, where = line.cells["image"], line.where
    if "split" in line.cells or part is None:
        word = line.cells.get("split", "train")
        if not word:
            raise UserError(f"{where}: the cell of column split is empty; write train, validation or test")
        part = part_named(word)
        if part is None:
            raise UserError(f"{where}: split '{word[:40]}' is unknown; write train, validation or test")
    path = folder / name
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise UserError(f"{where}: image '{name[:80]}' lies outside {folder}; give a path below the list's own folder")
    if not path.is_file():
        raise UserError(f"{where}: image '{name[:80]}' is missing from {folder}")
    return Listed(name, path, class_of(line.cells["label"], where), part, line.cells.get("group") or None)


def _refuse_other_folders(file: Path, images: list[Listed]) -> None:
    """Refuse a list whose images lie in folders of expressions that are not their labels."""
    lying = [(image, class_named(image.file.parent.name)) for image in images]
    odd = [image for image, name in lying if name is not None and name != image.label]
    if odd:
        raise UserError(
            f"{file} and the folders disagree about {len(odd)} of {len(images)} images, first {odd[0].image_id}, which "
            f"it calls {odd[0].label}; take both from one release"
        )


FORMAT = Format(
    name="csv",
    layout=f"{' or '.join(NAMES)}, or train.csv and test.csv, with the columns image, label (and split, group)",
    terms=TERMS,
    fits=fits,
    read=_read,
)
