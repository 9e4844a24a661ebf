"""Sets of posed faces whose files' names tell expression and person.

    KA.AN1.39.tiff           JAFFE: person KA, expression AN
    AF01ANS.JPG              KDEF: session A, woman 01, expression AN, seen straight on; in folders of persons or alone

None names test images: choose data.split=groups, so that no person is in both parts.

Sources: Lyons et al. 1998 (JAFFE), Lundqvist, Flykt and Öhman 1998 (KDEF).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmark.config import UserError
from benchmark.data.formats import Format
from benchmark.data.listing import NO_TEST, Listed, Named, image_files, to_manifest
from benchmark.data.manifest import Manifest, Origin

CODES = {
    "AN": "anger",
    "DI": "disgust",
    "HA": "happiness",
    "NE": "neutral",
    "SA": "sadness",
    "SU": "surprise",
}
FEWEST = 8  # pictures of a set's names from which a folder is taken for it


@dataclass(frozen=True)
class Coding:
    """How a set's names are read: a pattern with the groups `person` and `code`, and what the codes stand for."""

    name: str
    title: str
    pattern: re.Pattern[str]
    codes: dict[str, str]


JAFFE = Coding(
    "jaffe",
    "JAFFE",
    re.compile(r"(?P<person>[A-Z]{2})\.(?P<code>AN|DI|FE|HA|NE|SA|SU)\d\.\d+", re.IGNORECASE),
    {**CODES, "FE": "fear"},
)
KDEF = Coding(
    "kdef",
    "KDEF",
    re.compile(r"[AB](?P<person>[FM]\d{2})(?P<code>AF|AN|DI|HA|NE|SA|SU)(?:FL|FR|HL|HR|S)", re.IGNORECASE),
    {**CODES, "AF": "fear"},
)
TERMS = "{} is given out by its authors for research; images must not be passed on, and papers cite its source."


def _fits(coding: Coding) -> Callable[[Path], bool]:
    def fits(base: Path) -> bool:
        if not base.is_dir():
            return False
        first = [path for path in base.iterdir() if path.is_file()]
        inner = [path for folder in base.iterdir() if folder.is_dir() for path in folder.iterdir()]
        return sum(coding.pattern.fullmatch(path.stem) is not None for path in [*first, *inner]) >= FEWEST

    return fits


def _read(coding: Coding) -> Callable[[Path, Path], Manifest]:
    def read(base: Path, data_dir: Path) -> Manifest:
        images = []
        for file in image_files(base):
            found = coding.pattern.fullmatch(file.stem)
            if found is None:
                raise UserError(f"{file} is not named as {coding.title}'s images are; move it elsewhere")
            label, person = coding.codes[found["code"].upper()], found["person"].upper()
            images.append(Listed(file.relative_to(base).as_posix(), file, label, "train", person))
        origin = Origin("coded names", NO_TEST, dict(coding.codes), TERMS.format(coding.title))
        return to_manifest(Named(coding.name, coding.title, origin), images, base)

    return read


def _format(coding: Coding, layout: str) -> Format:
    return Format(coding.name, layout, TERMS.format(coding.title), _fits(coding), _read(coding), labels_stay=True)


FORMATS = (
    _format(JAFFE, "files named as JAFFE's, KA.AN1.39.tiff"),
    _format(KDEF, "files named as KDEF's, AF01ANS.JPG, alone or in folders of persons"),
)
