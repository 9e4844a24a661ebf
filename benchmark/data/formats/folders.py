"""A folder for each class, as torchvision's ImageFolder reads it.

train/happiness/… test/happiness/…        (also training, testing, val, valid, validation)
happiness/… sadness/…                     (no test images of its own: choose data.split=kfold or groups)

Files that are all named as CK+ names them, S010_004_00000017.png, tell the person.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from benchmark.config import UserError
from benchmark.data.formats import Format
from benchmark.data.formats.csv_manifest import fits as csv_fits
from benchmark.data.listing import (
    NO_TEST,
    OWN_PARTS,
    Listed,
    Named,
    class_of,
    columns_of,
    image_files,
    part_folders,
    part_named,
    part_notes,
    read_list,
    to_manifest,
)
from benchmark.data.manifest import Manifest, Origin
from benchmark.data.vocabulary import class_named

CK_PLUS = re.compile(r"S\d{3}_\d{3}_\d{8}\.")
TERMS = "Images of your own, or of others: ask those you have them from what their terms are."


def _fits(base: Path) -> bool:
    if not base.is_dir() or csv_fits(base):
        return False
    inner = [path for path in base.iterdir() if path.is_dir()]
    in_parts = [path for part in inner if part_named(part.name) for path in part.iterdir() if path.is_dir()]
    return any(sum(class_named(path.name) is not None for path in folders) >= 2 for folders in (inner, in_parts))


def _read(base: Path, data_dir: Path) -> Manifest:
    parts = part_folders(base)
    if parts and "train" not in parts:
        raise UserError(
            f"{base} has a folder of {next(iter(parts))} images, but none of training images; name it train"
        )
    folders = parts or {"train": base}
    images: list[Listed] = []
    mapping: dict[str, str] = {}
    for part, folder in folders.items():
        for class_folder in sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._"):
            label = class_of(class_folder.name, f"folder {class_folder}")
            mapping[class_folder.name] = label
            images += [
                Listed(file.relative_to(base).as_posix(), file, label, part) for file in image_files(class_folder)
            ]
    if all(CK_PLUS.match(image.file.name) for image in images):
        images = [replace(image, person=image.file.name[:4]) for image in images]
    origin = Origin(
        "folders",
        OWN_PARTS if "test" in parts else NO_TEST,
        mapping,
        TERMS,
        notes=part_notes(base, parts),
        accounted=_agreeing_lists(base, images),
    )
    return to_manifest(Named("folders", f"faces of folder {base.name}", origin), images, base)


def _agreeing_lists(base: Path, images: list[Listed]) -> frozenset[Path]:
    """Return the lists beside the folders that name most of the images and have a column of labels, which agree.

    Raises:
        UserError: one that does not agree.
    """
    agreeing: set[Path] = set()
    for file in sorted(base.glob("*.csv")):
        names = columns_of(file)
        label = next((name for name in ("label", "emotion", "expression", "class") if name in names), None)
        if label is None:
            continue
        _, lines = read_list(file)
        for column in (name for name in names if name != label):
            said = {line.cells[column].replace("\\", "/"): class_named(line.cells[label]) for line in lines}
            known = [(image, said.get(image.image_id) or said.get(_below(image))) for image in images]
            if sum(name is not None for _, name in known) <= len(images) / 2:
                continue
            if odd := [image for image, name in known if name is not None and name != image.label]:
                raise UserError(
                    f"{file} and the folders disagree about {len(odd)} of {len(images)} images, first "
                    f"{odd[0].image_id}; take both from one release, or take the list away"
                )
            agreeing.add(file)
    return frozenset(agreeing)


def _below(image: Listed) -> str:
    """Return an image's name as it is from the folder of its part."""
    return "/".join(image.image_id.split("/")[-2:])


FORMAT = Format(
    name="folders",
    layout="a folder for each expression, in train/ and test/ or alone",
    terms=TERMS,
    fits=_fits,
    read=_read,
)
