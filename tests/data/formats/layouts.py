"""Data sets written as their publishers lay them out, from a few drawn faces; the faces are the same in all of them."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FER_IDS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
AFFECTNET_IDS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
VOTE_COLUMNS = "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def picture(number: int, size: int = 48) -> Image.Image:
    """A grey image that no other number has."""
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (size, size), dtype=np.uint8))


def save(path: Path, number: int, size: int = 48) -> Path:
    """Write that image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(number, size).convert("RGB").save(path)
    return path


def raf_db_folders(root: Path, *, test: str = "test", lists: bool = True) -> Path:
    """Class folders 1 to 7, two training images and one test image of each, listed in reverse order."""
    for part, folder, each in (("train", "train", 2), ("test", test, 1)):
        rows = []
        for number in range(7 * each):
            name, label = f"{part}_{number + 1:05d}_aligned.jpg", number % 7 + 1
            save(root / "DATASET" / folder / str(label) / name, number + 100 * (part == "test"))
            rows.append((name, label))
        if lists:
            lines = [f"{name},{label}" for name, label in reversed(rows)]
            (root / f"{folder}_labels.csv").write_text("\n".join(["image,label", *lines]))
    return root


def fer2013(root: Path, usages: Sequence[str], monkeypatch: pytest.MonkeyPatch, name: str = "fer2013.csv") -> Path:
    """One of FER2013's own files, row n with picture n and class n modulo 7; torchvision is told its MD5."""
    from torchvision.datasets import FER2013

    root.mkdir(parents=True, exist_ok=True)
    rows = [
        {"emotion": n % 7, "Usage": usage, "pixels": " ".join(map(str, np.asarray(picture(n)).ravel()))}
        for n, usage in enumerate(usages)
    ]
    headers = {
        "fer2013.csv": ("emotion", "pixels", "Usage"),
        "icml_face_data.csv": ("emotion", "Usage", "pixels"),
        "train.csv": ("emotion", "pixels"),
        "test.csv": ("pixels",),
    }
    with (root / name).open("w", newline="") as file:
        file.write((", " if name.startswith("icml") else ",").join(headers[name]) + "\n")
        writer = csv.DictWriter(file, headers[name], extrasaction="ignore")
        writer.writerows(rows)
    digest = hashlib.md5((root / name).read_bytes(), usedforsecurity=False).hexdigest()
    key = {"fer2013.csv": "fer", "icml_face_data.csv": "icml", "train.csv": "train", "test.csv": "test"}[name]
    monkeypatch.setitem(FER2013._RESOURCES, key, (name, digest))
    return root


def ferplus_votes(root: Path, usages: Sequence[str], votes: Sequence[Sequence[int]]) -> Path:
    """FERPlus's file beside FER2013's."""
    lines = [
        ",".join([usage, f"fer{row:07d}.png", *map(str, given)])
        for row, (usage, given) in enumerate(zip(usages, votes, strict=True))
    ]
    (root / "fer2013new.csv").write_text("\n".join([",".join(["Usage", "Image name", VOTE_COLUMNS]), *lines]))
    return root


def affectnet(root: Path, labels: Sequence[int]) -> Path:
    """AffectNet's folders; annotations are arrays of one text, as the release has them."""
    for part, folder in (("train", "train_set"), ("test", "val_set")):
        for number, label in enumerate(labels):
            save(root / folder / "images" / f"{number}.jpg", number + 100 * (part == "test"))
            (root / folder / "annotations").mkdir(exist_ok=True)
            np.save(root / folder / "annotations" / f"{number}_exp.npy", np.array(str(label)))
    return root


def raf_db(root: Path) -> Path:
    """The official layout: a list, and aligned pictures."""
    names = [(part, n) for part, count in (("train", 14), ("test", 7)) for n in range(count)]
    for number, (part, n) in enumerate(names):
        save(root / "Image" / "aligned" / f"{part}_{n + 1:05d}_aligned.jpg", number)
    (root / "EmoLabel").mkdir()
    lines = [f"{part}_{n + 1:05d}.jpg {n % 7 + 1}" for part, n in names]
    (root / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(lines))
    return root


def ck_plus(root: Path, labels: dict[str, int], frames: int = 5) -> Path:
    """CK+'s sequences, by person and number ("S005/001"); those with a class above 0 have a label file."""
    for number, (sequence, label) in enumerate(labels.items()):
        stem = sequence.replace("/", "_")
        for frame in range(1, frames + 1):
            save(root / "cohn-kanade-images" / sequence / f"{stem}_{frame:08d}.png", 10 * number + frame)
        folder = root / "Emotion" / sequence
        folder.mkdir(parents=True)
        if label:
            (folder / f"{stem}_{frames:08d}_emotion.txt").write_text(f"   {label:.7e}\n")
    return root


def expw(root: Path, lines: Sequence[str]) -> Path:
    """ExpW's list, and the photographs that it names."""
    for number, line in enumerate(lines):
        save(root / "image" / line.split()[0], number)
    (root / "label").mkdir()
    (root / "label" / "label.lst").write_text("\n".join(lines))
    return root


def folders(root: Path, names: Sequence[str], parts: Sequence[str] = ("train", "test"), each: int = 2) -> Path:
    """A folder for each class in each part, or in the root where `parts` is a single empty name."""
    for p, part in enumerate(parts):
        for c, name in enumerate(names):
            for number in range(each):
                save(root / part / name / f"S{number:03d}_{c}.png", 1000 * p + 10 * c + number)
    return root


def csv_list(root: Path, rows: Sequence[str], header: str = "image,label,split,group") -> Path:
    """A list of images; those that the rows name are written."""
    for number, row in enumerate(rows):
        name = row.split(",")[0]
        if name and not name.startswith(("/", "..")) and not name.startswith("missing"):
            save(root / name, number)
    root.mkdir(parents=True, exist_ok=True)
    (root / "manifest.csv").write_text("\n".join([header, *rows]))
    return root


def open_faces(root: Path, rows: Sequence[tuple[str, str]]) -> Path:
    """A checkout of the public repository: images of another size and shape, and the legend."""
    (root / "images").mkdir(parents=True)
    for number, (name, _) in enumerate(rows):
        if not name.startswith("missing"):
            Image.fromarray(np.random.default_rng(number).integers(0, 256, (120, 140, 3), dtype=np.uint8)).save(
                root / "images" / name
            )
    (root / "data").mkdir()
    (root / "data" / "legend.csv").write_text("\n".join(["user.id,image,emotion", *(f"1,{n},{e}" for n, e in rows)]))
    return root
