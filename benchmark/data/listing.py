"""From the images that a format lists, one by one, to a manifest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from benchmark.config import UserError
from benchmark.data.manifest import Manifest, Origin
from benchmark.data.vocabulary import CLASSES, class_named, known_words

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm"})
PARTS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "valid": "validation",
    "val": "validation",
    "validation": "validation",
}
OWN_PARTS = "the data set's own train and test"
NO_TEST = "the data set names no test images"


@dataclass(frozen=True)
class Listed:
    """One image: its id, its file, its class by name, its part ("train", "validation" or "test") and the person."""

    image_id: str
    file: Path
    label: str
    part: str
    person: str | None = None


@dataclass(frozen=True)
class Named:
    """What a data set is called, and how it was read."""

    dataset: str
    title: str
    origin: Origin


def to_manifest(named: Named, images: Sequence[Listed], where: Path) -> Manifest:
    """Bring training images first and classes into the vocabulary's order; classes without an image are not there.

    Raises:
        UserError: no image, an image listed twice, fewer than two classes, a person known of some images alone.
    """
    if not images:
        raise UserError(f"{where} lists no image; check that the data are unpacked completely")
    if len({image.image_id for image in images}) < len(images):
        raise UserError(f"{where}: {_first_repeated(images)} is listed twice; keep one line for each image")
    classes = tuple(name for name in CLASSES if any(image.label == name for image in images))
    if len(classes) < 2:
        raise UserError(f"{where} has images of {classes[0]} alone; a classifier needs two classes or more")
    known = sum(image.person is not None for image in images)
    if 0 < known < len(images):
        raise UserError(f"{where} names the person of {known} of {len(images)} images; name it of all, or of none")
    ordered = sorted(images, key=lambda image: image.part == "test")
    validation = np.array([image.part == "validation" for image in ordered])
    return Manifest(
        dataset=named.dataset,
        title=named.title,
        classes=classes,
        image_ids=tuple(image.image_id for image in ordered),
        files=tuple(image.file for image in ordered),
        labels=np.array([classes.index(image.label) for image in ordered], dtype=np.int64),
        is_test=np.array([image.part == "test" for image in ordered]),
        groups=np.array([image.person for image in ordered]) if known else None,
        is_validation=validation if validation.any() else None,
        origin=named.origin,
    )


def _first_repeated(images: Sequence[Listed]) -> str:
    seen: set[str] = set()
    for image in images:
        if image.image_id in seen:
            return image.image_id
        seen.add(image.image_id)
    raise AssertionError("called for a repeated id")


def part_folders(base: Path) -> dict[str, Path]:
    """Return the folders that are parts of a data set; validation stands for test where there is no test folder."""
    found: dict[str, Path] = {}
    for folder in _folders(base):
        part = PARTS.get(folder.name.lower())
        if part is not None and part in found:
            raise UserError(f"{base} has two folders of {part} images, {found[part].name} and {folder.name}; keep one")
        if part is not None:
            found[part] = folder
    if "validation" in found and "test" not in found:
        found["test"] = found.pop("validation")
    return found


def part_notes(base: Path, parts: dict[str, Path]) -> tuple[str, ...]:
    """Say that a folder called validation is taken for test, where it is."""
    if "test" in parts and PARTS[parts["test"].name.lower()] == "validation":
        return (f"{base.name} has no test folder: {parts['test'].name} is the test set, and selects nothing",)
    return ()


def _folders(base: Path) -> Iterator[Path]:
    return (path for path in sorted(base.iterdir()) if path.is_dir() and not path.name.startswith((".", "__")))


def image_files(folder: Path) -> list[Path]:
    """Return the images of a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != ".")


def class_of(word: str, where: str) -> str:
    """Return the class that a word stands for.

    Raises:
        UserError: it stands for none.
    """
    found = class_named(word)
    if found is None:
        close = get_close_matches(word.lower(), known_words(), n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(CLASSES)}"
        raise UserError(f"{where}: '{word[:60]}' is no known expression; {hint}")
    return found


def read_text(file: Path) -> str:
    """Read a text file.

    Raises:
        UserError: it is not one.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(f"{file} is not a readable text file; take the one of the original release") from error
