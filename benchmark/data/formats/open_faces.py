"""open-faces: a checkout of the public repository muxspace/facial_expressions, photographs that students labelled.

    images/…      data/legend.csv (user.id, image, emotion)

The rule that makes a data set of it, the same on every machine; H is SHA-256 of a text, as an integer:
1. Rows in file order, emotions in lower case; an image with two different emotions is dropped, a repeated row counts
   once; the seven classes of RAF-DB; files that are there.
2. The person is the name without its number: `Aaron_Eckhart_0001.jpg` shows Aaron_Eckhart.
3. H(person) mod 100: below 20 not used, below 40 test, else train. No person is in both.
4. Happiness and neutral are thinned to 1400 (train) and 350 (test) images, those of smallest H(name).
5. Order as in RAF-DB: mixed by H("order:" + name), then a block of 90 % of fear, of half of disgust, of all neutral.
6. Grey, centre square, 100 × 100, JPEG of quality 88.
"""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from benchmark.config import UserError
from benchmark.data.formats import Format
from benchmark.data.listing import Listed, Named, read_text, to_manifest
from benchmark.data.manifest import Manifest, Origin
from benchmark.data.memory import made_once, write_image
from benchmark.data.vocabulary import OPEN_FACES_TERMS, RAF_DB_CLASSES

LEGEND = Path("data") / "legend.csv"
BLOCKS = {"fear": 9, "disgust": 5, "neutral": 10}  # tenths that stand together at the end
MOST = {"train": 1400, "test": 350}
THINNED = ("happiness", "neutral")
SIZE, QUALITY = 100, 88


@dataclass(frozen=True)
class _Photograph:
    name: str
    label: str
    person: str
    part: str


def _fits(base: Path) -> bool:
    return (base / LEGEND).is_file() and (base / "images").is_dir()


def _read(base: Path, data_dir: Path) -> Manifest:
    chosen = _in_file_order(_thinned(_labelled(base)))
    if not chosen:
        raise UserError(f"{base / LEGEND} names no image that is in {base / 'images'}; take the whole checkout")
    key = hashlib.sha256("\n".join(f"{p.name} {_status(base, p.name)}" for p in chosen).encode()).hexdigest()[:16]
    folder = made_once(data_dir / "unpacked" / f"open-faces-{key}", lambda folder: _write_images(base, chosen, folder))
    images, seen = [], {"train": 0, "test": 0}
    for photograph in chosen:
        seen[photograph.part] += 1
        name = f"{photograph.part}_{seen[photograph.part]:0{5 if photograph.part == 'train' else 4}d}.jpg"
        images.append(
            Listed(name, folder / photograph.name, photograph.label, photograph.part, person=photograph.person)
        )
    origin = Origin(
        format="open-faces",
        parts="no person is in both train and test, by the hash of the name",
        mapping={name: name for name in RAF_DB_CLASSES},
        terms=OPEN_FACES_TERMS,
        notes=(
            "a fifth of the persons is not used, happiness and neutral are thinned",
            "photographs that the legend does not name, and those of test/, are left out",
        ),
    )
    return to_manifest(Named("open-faces", "open-faces", origin), images, base / LEGEND)


def _labelled(base: Path) -> list[_Photograph]:
    """Return the images of rules 1 to 3."""
    there = {path.name for path in (base / "images").iterdir()}
    emotions: dict[str, set[str]] = {}
    for number, row in enumerate(csv.DictReader(read_text(base / LEGEND).splitlines()), start=2):
        if not row.get("image") or not row.get("emotion"):
            raise UserError(
                f"{base / LEGEND}, line {number} has no image or no emotion; take it from the checkout again"
            )
        emotions.setdefault(row["image"].strip(), set()).add(row["emotion"].strip().lower())
    found = []
    for name, given in emotions.items():
        label, person = min(given), re.sub(r"[_-]?\d+\w?$", "", name.rpartition(".")[0])
        bucket = _hash(person) % 100
        if len(given) == 1 and label in RAF_DB_CLASSES and name in there and bucket >= 20:
            found.append(_Photograph(name, label, person, "test" if bucket < 40 else "train"))
    return found


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")


def _thinned(photographs: list[_Photograph]) -> list[_Photograph]:
    kept = []
    for part, most in MOST.items():
        for label in RAF_DB_CLASSES:
            of_class = sorted(
                (p for p in photographs if (p.part, p.label) == (part, label)), key=lambda p: _hash(p.name)
            )
            kept += of_class[:most] if label in THINNED else of_class
    return kept


def _in_file_order(photographs: list[_Photograph]) -> list[_Photograph]:
    ordered: list[_Photograph] = []
    for part in MOST:
        mixed = sorted((p for p in photographs if p.part == part), key=lambda p: _hash("order:" + p.name))
        blocks: list[_Photograph] = []
        for label, tenths in BLOCKS.items():
            of_class = [p for p in mixed if p.label == label]
            blocks += of_class[: len(of_class) * tenths // 10]
        aside = {p.name for p in blocks}
        ordered += [p for p in mixed if p.name not in aside] + blocks
    return ordered


def _status(base: Path, name: str) -> str:
    status = (base / "images" / name).stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def _write_images(base: Path, photographs: list[_Photograph], folder: Path) -> None:
    for photograph in photographs:
        file = base / "images" / photograph.name
        try:
            with Image.open(file) as opened:
                grey = opened.convert("L")
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise UserError(f"{file} is not a readable image; take it from the checkout again") from error
        side = min(grey.size)
        left, top = (grey.width - side) // 2, (grey.height - side) // 2
        square = grey.crop((left, top, left + side, top + side))
        face = square.resize((SIZE, SIZE), Image.Resampling.LANCZOS).convert("RGB")
        write_image(face, folder / photograph.name, format="JPEG", quality=QUALITY)


FORMAT = Format(
    name="open-faces",
    layout=f"{LEGEND} and images/ of the repository muxspace/facial_expressions",
    terms=OPEN_FACES_TERMS,
    fits=_fits,
    read=_read,
    aside=("images/*.*p*g", "data/*.csv", "test/*.*p*g", "python/*", "R/*"),
)
