"""FERPlus as its authors' own scripts lay it out: a folder of PNG files for each part, its votes in a list beside them.

    FER2013Train/label.csv      fer0000000.png,"(0, 0, 48, 48)",4,0,0,1,3,2,0,0,0,0     no first line of names
    FER2013Train/fer0000000.png
    FER2013Valid/…              FER2013Test/…

The votes become labels as in `ferplus`: the same rule, the same names.

Source: Barsoum et al. 2016; the layout of github.com/microsoft/FERPlus.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmark.config import UserError
from benchmark.data.formats import Format
from benchmark.data.formats.ferplus import COLUMNS, EXPRESSIONS, PUBLISHED, TERMS, majority
from benchmark.data.listing import Listed, Named, image_files, read_text, to_manifest
from benchmark.data.manifest import Manifest, Origin

PARTS = {"FER2013Train": "train", "FER2013Valid": "validation", "FER2013Test": "test"}
LIST = "label.csv"


def _fits(base: Path) -> bool:
    return all((base / name / LIST).is_file() for name in PARTS)


def _read(base: Path, data_dir: Path) -> Manifest:
    listed: list[Listed] = []
    shares: dict[str, np.ndarray] = {}
    without: set[Path] = set()
    for name, part in PARTS.items():
        folder = base / name
        present = {path.name: path for path in image_files(folder)}
        for number, row in enumerate(csv.reader(read_text(folder / LIST).splitlines()), start=1):
            where = f"{folder / LIST}, line {number}"
            votes = _votes(row, where)
            image = present.get(row[0])
            if image is None:
                raise UserError(f"{where}: image '{row[0][:60]}' is missing from {folder}; unpack the data completely")
            label = majority(votes)
            if label is None:
                without.add(image)
                continue
            listed.append(Listed(row[0], image, label, part))
            shares[row[0]] = votes[: len(EXPRESSIONS)] / votes[: len(EXPRESSIONS)].sum()
    total = len(listed) + len(without)
    origin = Origin(
        format="ferplus",
        parts="FER2013Train, FER2013Valid (validation) and FER2013Test (test) of the release",
        mapping={name: name for name in EXPRESSIONS},
        terms=TERMS,
        notes=(f"{len(without)} of {total} images without a majority of the votes are left out",),
        published=PUBLISHED,
        accounted=frozenset(without),
    )
    manifest = to_manifest(Named("ferplus", "FERPlus", origin), listed, base)
    columns = [EXPRESSIONS.index(name) for name in manifest.classes]
    return replace(manifest, votes=np.array([shares[name][columns] for name in manifest.image_ids]))


def _votes(row: list[str], where: str) -> np.ndarray:
    """Return the votes for each column, single ones dropped, (10,)."""
    try:
        votes = np.array([int(cell) for cell in row[2:]])
    except ValueError:
        votes = np.array([])
    if votes.size != len(COLUMNS):
        raise UserError(f"{where} has no number of votes for each of {', '.join(COLUMNS)}; take it as published")
    return np.where(votes > 1, votes, 0)


FORMAT = Format(
    name="ferplus",
    layout=f"{', '.join(PARTS)}, each with {LIST}",
    terms=TERMS,
    fits=_fits,
    read=_read,
    aside=(LIST,),
)
