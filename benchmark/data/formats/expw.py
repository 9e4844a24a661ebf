"""ExpW as its authors give it out: photographs, and a list of the faces in them.

    label/label.lst        name face_id top left right bottom confidence class, separated by blanks
    image/name             one photograph, of one face or more

Each face is cut out of its photograph once and written as a JPEG of quality 95. It names no test images: choose
data.split=kfold; faces of one photograph share its name as their group.

Source: Zhang, Luo, Loy and Tang 2018, From Facial Expression Recognition to Interpersonal Relation Prediction.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from benchmark.config import UserError
from benchmark.data.formats import Format
from benchmark.data.listing import NO_TEST, Listed, Named, image_files, read_text, to_manifest
from benchmark.data.manifest import Manifest, Origin
from benchmark.data.memory import made_once, write_image
from benchmark.data.scan import DECODER_FAULTS

LIST, IMAGES = Path("label") / "label.lst", "image"
IDS = dict(enumerate(("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")))
TERMS = "ExpW's photographs were found by a search engine and belong to others: for research, and not to be passed on."


@dataclass(frozen=True)
class _Face:
    """A line of the list: the photograph, and the box of (left, top, right, bottom) pixels."""

    where: str
    photograph: str
    name: str
    box: tuple[int, int, int, int]
    label: str


def _fits(base: Path) -> bool:
    return (base / LIST).is_file() and (base / IMAGES).is_dir()


def _read(base: Path, data_dir: Path) -> Manifest:
    faces = [_face(line, number, base) for number, line in enumerate(read_text(base / LIST).splitlines(), 1) if line]
    there = {path.name: path.stat() for path in (base / IMAGES).iterdir()}
    if missing := [face for face in faces if face.photograph not in there]:
        raise UserError(
            f"{missing[0].where}: {base / IMAGES / missing[0].photograph} is missing, as are those of "
            f"{len(missing) - 1} other lines; unpack ExpW completely"
        )
    key = "\n".join(f"{face} {there[face.photograph].st_size} {there[face.photograph].st_mtime_ns}" for face in faces)
    folder = data_dir / "unpacked" / f"expw-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    made_once(folder, lambda unfinished: _cut_out(base, faces, unfinished))
    images = [Listed(face.name, folder / face.name, face.label, "train", face.photograph) for face in faces]
    used = {base / IMAGES / face.photograph for face in faces}
    without = set(image_files(base / IMAGES)) - used
    origin = Origin(
        format="expw",
        parts=NO_TEST,
        mapping={str(number): name for number, name in IDS.items()},
        terms=TERMS,
        notes=(f"{len(without)} photographs that {LIST.name} names no face of are left out",) if without else (),
        accounted=frozenset(used | without),
    )
    return to_manifest(Named("expw", "ExpW", origin), images, base / LIST)


def _face(line: str, number: int, base: Path) -> _Face:
    where = f"{base / LIST}, line {number}"
    cells = line.split()
    try:
        photograph, face, top, left, right, bottom, _, label = cells
        box = (int(left), int(top), int(right), int(bottom))
        name = f"{Path(photograph).stem}_{int(face)}.jpg"
        return _Face(where, photograph, name, box, IDS[int(label)])
    except (ValueError, KeyError) as error:
        raise UserError(
            f"{where}: '{line[:60]}' is not name, face, top, left, right, bottom, confidence and a class of 0 to 6"
        ) from error


def _cut_out(base: Path, faces: list[_Face], folder: Path) -> None:
    for face in faces:
        file = base / IMAGES / face.photograph
        try:
            with Image.open(file) as opened:  # not turned upright: boxes are those of the pixels as they are stored
                picture = opened.convert("RGB")
        except DECODER_FAULTS as error:
            raise UserError(f"{file} is not a readable picture; take it from the release again") from error
        left, top, right, bottom = face.box
        box = (max(left, 0), max(top, 0), min(right, picture.width), min(bottom, picture.height))
        if box[0] >= box[2] or box[1] >= box[3]:
            raise UserError(f"{face.where}: the box lies outside {file}, of {picture.width} × {picture.height} pixels")
        write_image(picture.crop(box), folder / face.name, format="JPEG", quality=95)


FORMAT = Format(
    name="expw",
    layout=f"{LIST} and {IMAGES}/",
    terms=TERMS,
    fits=_fits,
    read=_read,
    aside=("label/*.lst",),
)
