"""RAF-DB's official layout of its basic set.

    basic/EmoLabel/list_patition_label.txt      lines `train_00001.jpg 5`
    basic/Image/aligned/train_00001_aligned.jpg

Source: Li, Deng and Du 2017, Reliable Crowdsourcing and Deep Locality-Preserving Learning (RAF-DB).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmark.config import UserError
from benchmark.data.manifest import Manifest
from benchmark.data.vocabulary import OFFICIAL_COUNTS, RAF_DB_CLASSES, SYNTHETIC_MARK

LABEL_FILE = Path("EmoLabel") / "list_patition_label.txt"
IMAGE_FOLDER = Path("Image") / "aligned"


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
    base = root if (root / LABEL_FILE).is_file() else root / "basic"
    label_file = base / LABEL_FILE
    if not label_file.is_file():
        raise UserError(f"{root} is not RAF-DB's folder 'basic': it holds no {LABEL_FILE}")
    names, labels = _read_labels(label_file)
    folder = base / IMAGE_FOLDER
    files = tuple(folder / f"{Path(name).stem}_aligned.jpg" for name in names)
    present = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    missing = [file for file in files if file.name not in present]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(files)} images that {label_file.name} lists are missing, first {missing[0]}; "
            "unpack the aligned images completely"
        )
    is_test = np.array([name.startswith("test") for name in names])
    for part, count in (("train", int((~is_test).sum())), ("test", int(is_test.sum()))):
        if count == 0:
            raise UserError(f"{label_file} lists no {part} image (names start with '{part}_')")
    synthetic = (base / SYNTHETIC_MARK).is_file()
    dataset, title = _name(np.asarray(labels), is_test, synthetic)
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
    )


def _name(labels: np.ndarray, is_test: np.ndarray, synthetic: bool) -> tuple[str, str]:
    if synthetic:
        return "synthetic", "synthetic faces"
    counts = {part: np.bincount(labels[is_test == (part == "test")], minlength=7) for part in OFFICIAL_COUNTS}
    if all(tuple(counts[part]) == OFFICIAL_COUNTS[part] for part in OFFICIAL_COUNTS):
        return "raf-db", "RAF-DB"
    return "raf-db-layout", "faces in RAF-DB's layout, not RAF-DB itself"


def _read_labels(label_file: Path) -> tuple[list[str], list[int]]:
    """Read names and zero-based labels, refusing every line that is not `train_…|test_… 1..7`."""
    try:
        lines = label_file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{label_file} is not a text file; take the one of the official release") from error
    labels: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, *rest = line.split()
        where = f"{label_file}, line {number}"
        if len(rest) != 1 or not name.startswith(("train_", "test_")):
            raise UserError(f"{where}: '{line.strip()[:60]}' is not like 'train_00001.jpg 5'")
        if not (rest[0].isascii() and rest[0].isdecimal() and 1 <= int(rest[0]) <= len(RAF_DB_CLASSES)):
            raise UserError(f"{where}: class '{rest[0]}' of {name} is unknown; RAF-DB has 1 to {len(RAF_DB_CLASSES)}")
        if name in labels:
            raise UserError(f"{where}: {name} is listed twice; keep one line for each image")
        labels[name] = int(rest[0]) - 1
    if not labels:
        raise UserError(f"{label_file} is empty; take the one of the official release")
    return list(labels), list(labels.values())
