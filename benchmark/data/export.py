"""Any data set in RAF-DB's layout, with a note beside the labels of what that layout does not say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from PIL import Image

from benchmark.config import UserError
from benchmark.data.formats.raf_db import IMAGE_FOLDER, LABEL_FILE, NOTE_FILE
from benchmark.data.manifest import Manifest
from benchmark.data.memory import made_once, write_image
from benchmark.data.vocabulary import CLASSES, SYNTHETIC_MARK

_DIGITS = {"train": 5, "test": 4}


def write_raf_db_layout(manifest: Manifest, target: Path) -> None:
    """Write label file and images; the folder appears under its name only when complete.

    JPEG files are copied as they are, others are written as JPEG of the highest quality. Ids are RAF-DB's, contempt
    is 8. Persons, the data set's own validation images, its name and its terms go into a note.

    Raises:
        UserError: an image cannot be read.
    """
    made_once(target, lambda folder: _write(manifest, folder))
    target.with_name(f"{target.name}.lock").unlink(missing_ok=True)


def _write(manifest: Manifest, folder: Path) -> None:
    (folder / IMAGE_FOLDER).mkdir(parents=True)
    (folder / LABEL_FILE).parent.mkdir()
    seen = dict.fromkeys(_DIGITS, 0)
    names, lines = [], []
    for row, file in enumerate(manifest.files):
        part = "test" if manifest.is_test[row] else "train"
        seen[part] += 1
        names.append(f"{part}_{seen[part]:0{_DIGITS[part]}d}.jpg")
        lines.append(f"{names[row]} {CLASSES.index(manifest.classes[manifest.labels[row]]) + 1}\n")
        _write_image(file, folder / IMAGE_FOLDER / names[row].replace(".jpg", "_aligned.jpg"))
    (folder / LABEL_FILE).write_text("".join(lines), encoding="utf-8")
    if manifest.synthetic:
        (folder / SYNTHETIC_MARK).write_text("These faces are drawn by ferfuse, not photographed.\n", encoding="utf-8")
    if manifest.dataset not in ("raf-db", "raf-db-layout", "synthetic"):
        note = _note(manifest, names)
        (folder / NOTE_FILE).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")


def _note(manifest: Manifest, names: list[str]) -> dict[str, object]:
    validation = manifest.is_validation
    return {
        "dataset": manifest.dataset,
        "title": manifest.title,
        "classes": list(manifest.classes),
        "parts": manifest.origin.parts,
        "terms": manifest.origin.terms,
        "notes": list(manifest.origin.notes),
        "persons": None if manifest.groups is None else dict(zip(names, manifest.groups.tolist(), strict=True)),
        "validation": [] if validation is None else [name for name, own in zip(names, validation, strict=True) if own],
        "source_ids": dict(zip(names, manifest.image_ids, strict=True)),
    }


def _write_image(file: Path, target: Path) -> None:
    try:
        with Image.open(file) as image:
            pixels = None if image.format == "JPEG" else image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"image {file} cannot be read ({error}); see `ferfuse data check`") from error
    if pixels is None:
        shutil.copyfile(file, target)
    else:
        write_image(pixels, target, format="JPEG", quality=100, subsampling=0)
