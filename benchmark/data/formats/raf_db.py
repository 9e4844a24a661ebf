"""RAF-DB's official layout of its basic set.

    basic/EmoLabel/list_patition_label.txt      lines `train_00001.jpg 5`
    basic/Image/aligned/train_00001_aligned.jpg

Source: Li, Deng and Du 2017, Reliable Crowdsourcing and Deep Locality-Preserving Learning (RAF-DB).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from benchmark.config import UserError
from benchmark.data.formats import Format
from benchmark.data.listing import OWN_PARTS, Listed, Named, read_text, to_manifest
from benchmark.data.manifest import Manifest, Origin
from benchmark.data.vocabulary import (
    CLASSES,
    OFFICIAL_COUNTS,
    OPEN_FACES_COUNTS,
    OPEN_FACES_TERMS,
    RAF_DB_CLASSES,
    SYNTHETIC_MARK,
)

LABEL_FILE = Path("EmoLabel") / "list_patition_label.txt"  # as the release spells it
SPELT_RIGHT = Path("EmoLabel") / "list_partition_label.txt"
IMAGE_FOLDER = Path("Image") / "aligned"
NOTE_FILE = Path("EmoLabel") / "import.json"  # beside the labels of a set that `ferfuse data import` wrote
IDS = {str(number): name for number, name in enumerate(RAF_DB_CLASSES, start=1)}
TERMS = (
    "RAF-DB is given out by its authors on request, for non-commercial research; images and labels must not be "
    "passed on, and papers cite Li, Deng and Du 2017."
)
SYNTHETIC_TERMS = "The images are drawn by ferfuse; nobody is shown, and anybody may have them."
OTHER_TERMS = "Faces in RAF-DB's layout: ask those you have them from what their terms are."


def read_raf_db(root: Path) -> Manifest:
    """Read the label file and check that every image is there.

    A set that carries the mark of drawn images is called synthetic, and only one with RAF-DB's own class counts RAF-DB:
    other faces in its layout must not be compared with numbers that are printed about it.

    Args:
        root: the folder `basic`, or the one that holds it.

    Raises:
        UserError: folder, label file or an image is missing, or a line cannot be understood.
    """
    if not root.is_dir():
        raise UserError(f"data folder {root} does not exist; give RAF-DB's folder 'basic' by --data-root")
    base = root if label_file_of(root) else root / "basic"
    label_file = label_file_of(base)
    if label_file is None:
        raise UserError(f"{root} is not RAF-DB's folder 'basic': it holds no {LABEL_FILE}")
    if (base / NOTE_FILE).is_file():
        return _read_imported(base)
    names, labels = _read_labels(label_file, RAF_DB_CLASSES)
    files = _image_files(base, names)
    is_test = np.array([name.startswith("test") for name in names])
    for part, count in (("train", int((~is_test).sum())), ("test", int(is_test.sum()))):
        if count == 0:
            raise UserError(f"{label_file} lists no {part} image (names start with '{part}_')")
    synthetic = (base / SYNTHETIC_MARK).is_file()
    dataset, title = name_of(np.asarray(labels), is_test, synthetic)
    order = np.argsort(is_test, kind="stable")
    return Manifest(
        dataset=dataset,
        title=title,
        classes=RAF_DB_CLASSES,
        image_ids=tuple(names[i] for i in order),
        files=tuple(files[i] for i in order),
        labels=np.asarray(labels, dtype=np.int64)[order],
        is_test=is_test[order],
        synthetic=synthetic,
        origin=origin_of(dataset),
    )


def label_file_of(base: Path) -> Path | None:
    """Return the list of labels, whose name circulates in two spellings."""
    return next((base / name for name in (LABEL_FILE, SPELT_RIGHT) if (base / name).is_file()), None)


def origin_of(dataset: str) -> Origin:
    """Return how a set in one of RAF-DB's layouts is described."""
    known = {"raf-db": TERMS, "synthetic": SYNTHETIC_TERMS, "open-faces": OPEN_FACES_TERMS}
    terms = known.get(dataset, OTHER_TERMS)
    published = {} if dataset in ("synthetic", "open-faces") else OFFICIAL_COUNTS
    return Origin("raf-db", OWN_PARTS, dict(IDS), terms, published=published)


def name_of(labels: np.ndarray, is_test: np.ndarray, synthetic: bool) -> tuple[str, str]:
    """Return name and title; only a set with RAF-DB's own class counts is called RAF-DB, and open-faces by its own."""
    if synthetic:
        return "synthetic", "synthetic faces"
    counts = {
        part: tuple(np.bincount(labels[is_test == (part == "test")], minlength=7).tolist()) for part in OFFICIAL_COUNTS
    }
    if counts == OFFICIAL_COUNTS:
        return "raf-db", "RAF-DB"
    if counts == OPEN_FACES_COUNTS:
        return "open-faces", "open-faces"
    return "raf-db-layout", "faces in RAF-DB's layout, not RAF-DB itself"


def _read_imported(base: Path) -> Manifest:
    """Read a set that was imported: its note says which classes, persons and validation images it has."""
    note_file = base / NOTE_FILE
    try:
        note = json.loads(note_file.read_text(encoding="utf-8"))
        named = Named(
            dataset=note["dataset"],
            title=note["title"],
            origin=Origin(
                format="raf-db",
                parts=note["parts"],
                mapping={str(CLASSES.index(name) + 1): name for name in note["classes"]},
                terms=note["terms"],
                notes=(*note["notes"], "imported into RAF-DB's layout"),
            ),
        )
        persons, validation = note["persons"] or {}, set(note["validation"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{note_file} is damaged ({error!r}); import the data again") from error
    names, labels = _read_labels(label_file_of(base) or base / LABEL_FILE, CLASSES)
    images = [
        Listed(name, file, CLASSES[label], _part_of(name, validation), persons.get(name))
        for name, label, file in zip(names, labels, _image_files(base, names), strict=True)
    ]
    return to_manifest(named, images, base / LABEL_FILE)


def _part_of(name: str, validation: set[str]) -> str:
    return "test" if name.startswith("test") else "validation" if name in validation else "train"


def _image_files(base: Path, names: list[str]) -> tuple[Path, ...]:
    """Return the image of each name.

    Raises:
        UserError: some are missing.
    """
    folder = base / IMAGE_FOLDER
    present = {_core(entry.name): entry for entry in folder.iterdir()} if folder.is_dir() else {}
    found = [present.get(_core(name)) for name in names]
    files = tuple(path for path in found if path is not None)
    missing = [folder / f"{_core(name)}_aligned.jpg" for name, path in zip(names, found, strict=True) if path is None]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(names)} images that {LABEL_FILE.name} lists are missing, first {missing[0]}; "
            "unpack the aligned images completely"
        )
    return files


def _core(name: str) -> str:
    """Return what two spellings of one image have in common: train_00001 of Train_00001_aligned.JPG."""
    return name.rpartition(".")[0].lower().removesuffix("_aligned")


def _read_labels(label_file: Path, classes: tuple[str, ...]) -> tuple[list[str], list[int]]:
    """Read names and zero-based labels, refusing every line that is not `train_…|test_…` and the id of a class."""
    lines = read_text(label_file).splitlines()
    labels: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, *rest = line.split()
        name = f"{_core(name)}.jpg" if "." in name else name
        where = f"{label_file}, line {number}"
        if len(rest) != 1 or not name.startswith(("train_", "test_")):
            raise UserError(f"{where}: '{line.strip()[:60]}' is not like 'train_00001.jpg 5'")
        if not (rest[0].isascii() and rest[0].isdecimal() and 1 <= int(rest[0]) <= len(classes)):
            raise UserError(f"{where}: class '{rest[0]}' of {name} is unknown; known are 1 to {len(classes)}")
        if name in labels:
            raise UserError(f"{where}: {name} is listed twice; keep one line for each image")
        labels[name] = int(rest[0]) - 1
    if not labels:
        raise UserError(f"{label_file} is empty; take the one of the official release")
    return list(labels), list(labels.values())


def _fits(base: Path) -> bool:
    return label_file_of(base) is not None


FORMAT = Format(
    name="raf-db",
    layout=f"{LABEL_FILE} beside {IMAGE_FOLDER}/",
    terms=TERMS,
    fits=_fits,
    read=lambda base, _: read_raf_db(base),
    aside=("EmoLabel/*.txt", "EmoLabel/*.json", "Image/original/*", "Annotation/**/*", SYNTHETIC_MARK),
    labels_stay=True,
    imports=True,
)
