"""FERPlus: ten raters' votes about the images of FER2013.

    fer2013new.csv beside fer2013.csv or icml_face_data.csv

A single vote is dropped. The class with the most votes is the label where it has more than half of those that are left;
other images, and those that show no known expression or no face, are left out. `Manifest.votes` keeps the shares.

Training learns the majority's class, or with data.labels=votes the shares themselves.

Source: Barsoum et al. 2016, Training deep networks for facial expression recognition with crowd-sourced label
distribution.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmark.config import UserError
from benchmark.data.formats import Format
from benchmark.data.formats.fer2013 import FILES, USAGES, VOTES, file_of, image_name, images_of
from benchmark.data.formats.fer2013 import TERMS as IMAGE_TERMS
from benchmark.data.listing import Listed, Named, read_text, to_manifest
from benchmark.data.manifest import Manifest, Origin

EXPRESSIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
COLUMNS = (*EXPRESSIONS, "unknown", "NF")
PUBLISHED = {"train": (25045,), "validation": (3191,), "test": (3137,)}
TERMS = f"FERPlus's votes are free to use (MIT), the images are FER2013's. {IMAGE_TERMS}"


def _fits(base: Path) -> bool:
    return (base / VOTES).is_file()


def _read(base: Path, data_dir: Path) -> Manifest:
    file = file_of(base)
    if file is None or file.name not in FILES[:2]:
        raise UserError(
            f"{base / VOTES} needs the images of FER2013: put {FILES[0]} or {FILES[1]} beside it, or give the folder "
            "that holds FER2013Train"
        )
    known = images_of(file, data_dir)
    listed: list[Listed] = []
    shares: dict[str, np.ndarray] = {}
    rows = list(csv.DictReader(read_text(base / VOTES).splitlines()))
    if len(rows) != len(known):
        raise UserError(f"{base / VOTES} has {len(rows)} rows, {file.name} has {len(known)}; take both as published")
    for row, line in enumerate(rows):
        where = f"{base / VOTES}, line {row + 2}"
        image, _, usage = known[row]
        if line.get("Usage") != usage:
            raise UserError(f"{where}: usage '{line.get('Usage')}' is '{usage}' in {file.name}; take both as published")
        votes = _votes(line, where)
        label = majority(votes)
        if label is not None:
            name = image_name(row)
            listed.append(Listed(name, image, label, USAGES[usage]))
            shares[name] = votes[: len(EXPRESSIONS)] / votes[: len(EXPRESSIONS)].sum()
    origin = Origin(
        format="ferplus",
        parts="Training, PublicTest (validation) and PrivateTest (test) of FER2013",
        mapping={name: name for name in EXPRESSIONS},
        terms=TERMS,
        notes=(f"{len(rows) - len(listed)} of {len(rows)} images without a majority of the votes are left out",),
        published=PUBLISHED,
    )
    manifest = to_manifest(Named("ferplus", "FERPlus", origin), listed, base / VOTES)
    columns = [EXPRESSIONS.index(name) for name in manifest.classes]
    return replace(manifest, votes=np.array([shares[name][columns] for name in manifest.image_ids]))


def _votes(line: dict[str, str], where: str) -> np.ndarray:
    """Return the votes for each column, single ones dropped, (10,)."""
    try:
        votes = np.array([int(line[name]) for name in COLUMNS])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{where} has no number of votes for each of {', '.join(COLUMNS)}; take it as published"
        ) from error
    return np.where(votes > 1, votes, 0)


def majority(votes: np.ndarray) -> str | None:
    """Return the expression with more than half of the votes (10,), None where there is none."""
    most = int(votes.argmax())
    if 2 * votes[most] <= votes.sum() or most >= len(EXPRESSIONS):
        return None
    return EXPRESSIONS[most]


FORMAT = Format(
    name="ferplus",
    layout=f"{VOTES} beside FER2013's file",
    terms=TERMS,
    fits=_fits,
    read=_read,
    aside=(VOTES, *FILES),
)
