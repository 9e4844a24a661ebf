"""CK+ as its authors give it out: sequences from a neutral face to the height of an expression.

    cohn-kanade-images/S005/001/S005_001_00000011.png
    Emotion/S005/001/S005_001_00000011_emotion.txt          the class as a number, for 327 of 593 sequences

The last three pictures of a sequence that has a class are used, as most papers do, and S005 is the person. It names no
test images: choose data.split=groups. Its pictures in folders of expressions are read by `folders`.

Source: Lucey et al. 2010, The Extended Cohn-Kanade Dataset.
"""

from __future__ import annotations

from pathlib import Path

from benchmark.config import UserError
from benchmark.data.formats import Format
from benchmark.data.listing import NO_TEST, Listed, Named, image_files, read_text, to_manifest
from benchmark.data.manifest import Manifest, Origin

IMAGES, LABELS = "cohn-kanade-images", ("Emotion", "Emotion_labels")
IDS = dict(enumerate(("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise"), start=1))
LAST = 3
TERMS = "CK+ is given out by its authors for research under an agreement; images must not be passed on."


def _labels_of(base: Path) -> Path | None:
    return next((base / name for name in LABELS if (base / name).is_dir()), None)


def _fits(base: Path) -> bool:
    return (base / IMAGES).is_dir() and _labels_of(base) is not None


def _read(base: Path, data_dir: Path) -> Manifest:
    labels = _labels_of(base)
    files = sorted(labels.rglob("*_emotion.txt")) if labels else []
    everything = set(image_files(base / IMAGES))
    images: list[Listed] = []
    for file in files:
        person, sequence, _ = file.name.split("_", 2)
        folder = base / IMAGES / person / sequence
        frames = image_files(folder) if folder.is_dir() else []
        if len(frames) < LAST:
            raise UserError(f"{file}: {folder} holds {len(frames)} pictures, not {LAST} or more; unpack CK+ completely")
        label = _label_in(file)
        images += [Listed(frame.name, frame, label, "train", person) for frame in frames[-LAST:]]
    without = everything - {image.file for image in images}
    origin = Origin(
        format="ck+",
        parts=NO_TEST,
        mapping={str(number): name for number, name in IDS.items()},
        terms=TERMS,
        notes=(f"the last {LAST} pictures of {len(files)} sequences with a class are used, {len(without)} are not",),
        accounted=frozenset(without),
    )
    return to_manifest(Named("ck+", "CK+", origin), images, base)


def _label_in(file: Path) -> str:
    """Return the class in a label file, whose one number is written as 3.0000000e+00."""
    text = read_text(file).strip()
    try:
        return IDS[int(float(text))]
    except (ValueError, OverflowError, KeyError) as error:
        raise UserError(f"{file}: '{text[:40]}' is no class of CK+, which has 1 to {len(IDS)}") from error


FORMAT = Format(
    name="ck+",
    layout=f"{IMAGES}/ beside {LABELS[0]}/",
    terms=TERMS,
    fits=_fits,
    read=_read,
    aside=("*_emotion.txt", "*_landmarks.txt", "*_facs.txt"),
    labels_stay=True,
)
