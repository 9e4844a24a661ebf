"""FER2013: pixels as text, in the three forms that torchvision's own class reads.

    fer2013.csv                 columns emotion, pixels, Usage
    icml_face_data.csv          the same in another order
    train.csv and test.csv      the labels of test.csv are not given out

Images are written once as PNG files. Training images are learnt from, PublicTest selects, PrivateTest is the test
set, as the competition had it.

Source: Goodfellow et al. 2013, Challenges in Representation Learning.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmark.config import UserError
from benchmark.data.formats import Format
from benchmark.data.listing import NO_TEST, Listed, Named, columns_of, to_manifest
from benchmark.data.manifest import Manifest, Origin
from benchmark.data.memory import file_digest, made_once, write_image

FILES = ("fer2013.csv", "icml_face_data.csv", "train.csv")
VOTES = "fer2013new.csv"
IDS = dict(enumerate(("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")))
USAGES = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
PUBLISHED = {
    "train": (3171, 4097, 436, 7215, 4830, 3995, 4965),
    "validation": (415, 496, 56, 895, 653, 467, 607),
    "test": (416, 528, 55, 879, 594, 491, 626),
}  # images of each class, in the vocabulary's order
TERMS = (
    "FER2013 is given out for the competition of Goodfellow et al. 2013; its photographs were found by a search engine "
    "and belong to others, so that images must not be passed on."
)


def file_of(base: Path) -> Path | None:
    """Return the file that torchvision reads, in its order of preference."""
    if base.is_file():
        return base if base.name in FILES[:2] else None
    found = next((base / name for name in FILES if (base / name).is_file()), None)
    if found is None or (found.name == "train.csv" and not (base / "test.csv").is_file()):
        return None
    return found if found.name != "train.csv" or "pixels" in columns_of(found) else None


def _fits(base: Path) -> bool:
    file = file_of(base)
    return file is not None and not (file.parent / VOTES).is_file()


def images_of(file: Path, data_dir: Path) -> dict[int, tuple[Path, int, str]]:
    """Return image, class number and usage of every row of a file, the images written as PNG on the first call.

    Raises:
        UserError: the file is not the one that was published.
    """
    folder = data_dir / "unpacked" / f"fer2013-{file_digest(file, data_dir / 'store')[:16]}"
    made_once(folder, lambda unfinished: _write_images(file, unfinished))
    with (folder / "rows.csv").open(encoding="utf-8", newline="") as opened:
        rows = [(int(row["row"]), int(row["label"]), row["usage"]) for row in csv.DictReader(opened)]
    return {row: (folder / image_name(row), label, usage) for row, label, usage in rows}


def image_name(row: int) -> str:
    """Return the name of a row's image, which is FERPlus's name for it too."""
    return f"fer{row:07d}.png"


def _write_images(file: Path, folder: Path) -> None:
    from torchvision.datasets import FER2013

    usages = _usages(file)
    with tempfile.TemporaryDirectory() as scratch, (folder / "rows.csv").open("w", encoding="utf-8") as listing:
        (Path(scratch) / "fer2013").symlink_to(file.parent.resolve())
        listing.write("row,label,usage\n")
        for split in ("train",) if file.name == "train.csv" else ("train", "test"):
            try:
                images = FER2013(scratch, split)
            except (RuntimeError, ValueError, KeyError) as error:
                raise UserError(
                    f"{file} is not the published file (its MD5 differs); take it from the competition again"
                ) from error
            rows = [row for row, usage in enumerate(usages) if (usage == "Training") == (split == "train")]
            for number, row in enumerate(rows):
                image, label = images[number]
                write_image(image, folder / image_name(row), format="PNG")
                listing.write(f"{row},{label},{usages[row]}\n")


def _usages(file: Path) -> list[str]:
    """Return the usage of every row; all rows of train.csv are for training."""
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            rows: Iterator[dict[str, str]] = csv.DictReader(opened, skipinitialspace=True)
            return [row.get("Usage", "Training") for row in rows]
    except (ValueError, csv.Error) as error:
        raise UserError(f"{file} is not the published file (no text in UTF-8); take it from the competition") from error


def _read(base: Path, data_dir: Path) -> Manifest:
    file = file_of(base)
    if file is None:
        raise UserError(f"{base} holds none of {', '.join(FILES)}; give FER2013's folder by --data-root")
    images = [
        Listed(image_name(row), image, IDS[label], USAGES[usage])
        for row, (image, label, usage) in images_of(file, data_dir).items()
    ]
    labelled_test = file.name != "train.csv"
    origin = Origin(
        format="fer2013",
        parts="Training, PublicTest (validation) and PrivateTest (test) of the competition"
        if labelled_test
        else NO_TEST,
        mapping={str(number): name for number, name in IDS.items()},
        terms=TERMS,
        notes=() if labelled_test else ("test.csv is left out: its labels are not given out",),
        published=PUBLISHED if labelled_test else {"train": PUBLISHED["train"]},
    )
    return to_manifest(Named("fer2013", "FER2013", origin), images, file)


FORMAT = Format(
    name="fer2013",
    layout="fer2013.csv, icml_face_data.csv, or train.csv with test.csv",
    terms=TERMS,
    fits=_fits,
    read=_read,
    aside=(*FILES, "test.csv"),
)
