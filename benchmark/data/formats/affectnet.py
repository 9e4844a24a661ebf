"""AffectNet as its authors give it out.

    train_set/images/{id}.jpg      train_set/annotations/{id}_exp.npy     the class as a number
    val_set/images/{id}.jpg        val_set/annotations/{id}_exp.npy

The labels of its test set are not published: papers report the validation set, which is the test set here.

Source: Mollahosseini, Hasani and Mahoor 2019, AffectNet.
"""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError

import numpy as np

from benchmark.config import UserError
from benchmark.data.formats import Format
from benchmark.data.listing import Listed, Named, image_files, to_manifest
from benchmark.data.manifest import Manifest, Origin

IDS = dict(enumerate(("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")))
NO_EXPRESSION = (8, 9, 10)  # none, uncertain, no face
# what numpy raises for a damaged header, which it parses as Python
NPY_FAULTS = (
    ValueError,
    TypeError,
    ArithmeticError,
    EOFError,
    OSError,
    SyntaxError,
    SystemError,
    TokenError,
    MemoryError,
)
PARTS = {"train": "train_set", "test": "val_set"}
TERMS = (
    "AffectNet is given out by its authors for research under an agreement; images must not be passed on, and papers "
    "cite Mollahosseini, Hasani and Mahoor 2019."
)


def _fits(base: Path) -> bool:
    return (base / "train_set" / "annotations").is_dir()


def _read(base: Path, data_dir: Path) -> Manifest:
    images: list[Listed] = []
    without: set[Path] = set()
    for part, name in PARTS.items():
        folder = base / name
        for inner in ("images", "annotations"):
            if not (folder / inner).is_dir():
                raise UserError(f"{folder} holds no folder {inner}; unpack AffectNet completely")
        for file in image_files(folder / "images"):
            label = _label_of(file, folder / "annotations")
            if label in NO_EXPRESSION:
                without.add(file)
            else:
                images.append(Listed(f"{name}/{file.name}", file, IDS[label], part))
    notes: tuple[str, ...] = ("val_set is the test set: the labels of AffectNet's own test set are not published",)
    if without:
        notes += (f"{len(without)} images without an expression (ids 8 to 10) are left out",)
    mapping = {str(number): name for number, name in IDS.items()}
    origin = Origin(
        "affectnet", "train_set and val_set of the release", mapping, TERMS, notes, accounted=frozenset(without)
    )
    return to_manifest(Named("affectnet", "AffectNet", origin), images, base)


def _label_of(file: Path, annotations: Path) -> int:
    annotation = annotations / f"{file.stem}_exp.npy"
    try:
        values = np.load(annotation, allow_pickle=False).reshape(-1)
        if values.size != 1:
            raise ValueError(f"{values.size} numbers in place of one")
        label = int(values[0])
    except FileNotFoundError as error:
        raise UserError(f"image {file} has no annotation {annotation.name}; unpack AffectNet completely") from error
    except NPY_FAULTS as error:
        raise UserError(f"{annotation} holds no class number; take it from the release again") from error
    if label not in IDS and label not in NO_EXPRESSION:
        raise UserError(f"{annotation}: class {label} is unknown; AffectNet has 0 to {max(NO_EXPRESSION)}")
    return label


FORMAT = Format(
    name="affectnet",
    layout="train_set/images and train_set/annotations, val_set likewise",
    terms=TERMS,
    fits=_fits,
    read=_read,
    aside=("annotations/*.npy",),
    labels_stay=True,
)
