"""From the images that a format lists, one by one, to a manifest."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from PIL import Image

from benchmark.config import UserError
from benchmark.data.manifest import Manifest, Origin
from benchmark.data.scan import DECODER_FAULTS
from benchmark.data.vocabulary import CLASSES, class_named, known_words

IMAGE_SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".bmp",
        ".dib",
        ".webp",
        ".tif",
        ".tiff",
        ".pgm",
        ".ppm",
        ".pbm",
        ".gif",
        ".jp2",
        ".avif",
    ]
)
OTHER_PICTURES = frozenset(
    [".heic", ".heif", ".jxl", ".tga", ".psd", ".svg", ".raw", ".cr2", ".nef", ".dng", ".ico"]
)  # that are not read
NO_DATA_FOLDERS = ("__MACOSX", ".git", ".ipynb_checkpoints", "__pycache__")
NO_DATA = ("README*", "LICEN?E*", "*.md", "*.pdf", "*.html", ".DS_Store", "Thumbs.db", "desktop.ini", ".gitignore")
PART_NAMES = {
    "train": "train training trainset trn fer2013train learn",
    "validation": "validation valid val validationset valset dev development publictest fer2013valid",
    "test": "test testing testset tst eval evaluation privatetest fer2013test",
}
PARTS = {name: part for part, names in PART_NAMES.items() for name in names.split()}
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
    for image in images:
        if not image.image_id.isprintable() or any("\ud800" <= letter <= "\udfff" for letter in image.image_id):
            raise UserError(f"{where}: the name of {image.image_id!a} holds letters that are no text; rename the file")
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


def part_named(name: str) -> str | None:
    """Return the part that a folder, or a word of a list, stands for; None where it stands for none."""
    return PARTS.get(re.sub(r"[-_ ]", "", name.strip().lower()))


def part_folders(base: Path) -> dict[str, Path]:
    """Return the folders that are parts of a data set; validation stands for test where there is no test folder."""
    found: dict[str, Path] = {}
    for folder in _folders(base):
        part = part_named(folder.name)
        if part is not None and part in found:
            raise UserError(f"{base} has two folders of {part} images, {found[part].name} and {folder.name}; keep one")
        if part is not None:
            found[part] = folder
    if "validation" in found and "test" not in found:
        found["test"] = found.pop("validation")
    return found


def part_notes(base: Path, parts: dict[str, Path]) -> tuple[str, ...]:
    """Say that a folder called validation is taken for test, where it is."""
    if "test" in parts and part_named(parts["test"].name) == "validation":
        return (f"{base.name} has no test folder: {parts['test'].name} is the test set, and selects nothing",)
    return ()


def _folders(base: Path) -> Iterator[Path]:
    return (path for path in sorted(base.iterdir()) if path.is_dir() and not path.name.startswith((".", "__")))


def image_files(folder: Path) -> list[Path]:
    """Return the images in a folder and in the folders below it, by name, as torchvision's ImageFolder finds them."""
    return sorted(path for path in files_below(folder) if path.suffix.lower() in IMAGE_SUFFIXES)


def files_below(folder: Path, hidden: bool = False, without: Collection[Path] = ()) -> Iterator[Path]:
    """Yield all files below a folder but what archives of a Mac and tools add, and those that a dot hides."""
    for path in folder.iterdir():
        if path.name in NO_DATA_FOLDERS or path.name.startswith("._" if hidden else "."):
            continue
        if path.is_dir():
            if not without or path.resolve() not in without:
                yield from files_below(path, hidden, without)
        else:
            yield path


def files_beside(
    manifest: Manifest, base: Path, data_dir: Path, aside: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the pictures below a folder that a data set does not use, and the other files, as they are called there.

    Every picture that is found is used, or left out by a rule that the format states: `aside` are patterns of what lies
    beside the labelled pictures in the release, and `Origin.accounted` what was left out or read one by one. What
    ferfuse itself keeps in `data_dir` is nobody's data.
    """
    pictures: list[str] = []
    other: list[str] = []
    own = {folder.resolve() for folder in (data_dir / "store", data_dir / "unpacked")}
    known = {*manifest.files, *manifest.origin.accounted}
    for path in files_below(base, hidden=True, without=own):
        name = path.relative_to(base)
        if path in known or any(name.match(pattern) for pattern in (*aside, *NO_DATA)):
            continue
        shown = not any(part.startswith(".") for part in name.parts)
        (pictures if shown and _is_picture(path) else other).append(name.as_posix())
    return tuple(sorted(pictures)), tuple(sorted(other))


def _is_picture(path: Path) -> bool:
    """Tell a picture by its suffix, and by its first bytes where it has none."""
    if path.suffix:
        return path.suffix.lower() in IMAGE_SUFFIXES | OTHER_PICTURES
    try:
        with Image.open(path):
            return True
    except DECODER_FAULTS:
        return False


@dataclass(frozen=True)
class Line:
    """A row of a list of images: where it stands, and its cells by the lower-case names of the columns."""

    where: str
    cells: dict[str, str]


def read_list(file: Path) -> tuple[list[str], list[Line]]:
    """Read a list as spreadsheets and data frames write it: commas, semicolons or tabs, quoted or not, any Unicode.

    Rows of empty cells are left out.

    Raises:
        UserError: no text, a column named twice, or a row that is too long or too short.
    """
    text = read_text(file)
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(",;\t", key=first.count)
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=separator, strict=True))
    except csv.Error as error:
        raise UserError(f"{file} is no readable list ({error}); save it as CSV again") from error
    stripped = ([cell.strip() for cell in row] for row in rows)
    numbered = [(number, row) for number, row in enumerate(stripped, start=1) if any(row)]
    if not numbered:
        raise UserError(f"{file} is empty")
    names = [name.lower() for name in numbered[0][1]]
    while names and not names[-1]:
        names.pop()
    if repeated := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{file} has the column '{repeated[0][:40]}' twice; keep one")
    lines = []
    for number, cells in numbered[1:]:
        where = f"{file}, line {number}"
        if len(cells) < len(names) or any(cells[len(names) :]):
            raise UserError(f"{where} has not {len(names)} columns, which its first line names")
        lines.append(Line(where, dict(zip(names, cells, strict=False))))
    return names, lines


def columns_of(file: Path) -> list[str]:
    """Return the lower-case names of a list's columns, none where it cannot be read."""
    try:
        with file.open("rb") as opened:
            text = _decoded(opened.readline(4000) + opened.readline(100))
    except (OSError, ValueError):
        return []
    first = text.splitlines()[0] if text else ""
    row = next(csv.reader([first], delimiter=max(",;\t", key=first.count)), [])
    return [name.strip().lower() for name in row]


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
    """Read a text file in UTF-8 or UTF-16, with or without the mark at its beginning.

    Raises:
        UserError: it is not one.
    """
    try:
        return _decoded(file.read_bytes())
    except (ValueError, OSError) as error:
        raise UserError(f"{file} is not a readable text file; take the one of the original release") from error


def _decoded(content: bytes) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content[: len(content) // 2 * 2].decode("utf-16")
    return content.decode("utf-8-sig")
