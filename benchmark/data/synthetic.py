"""Drawn faces in RAF-DB's official layout: a data set that anybody may have, for demonstrations and tests.

The faces are those of `drawn_face`. Class proportions and file order are those of RAF-DB basic (Li, Deng and
Du 2017), whose lists end in blocks of a single class. What is measured on these faces says nothing about real
ones.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image

from benchmark.data.drawn_face import render_face
from benchmark.data.memory import write_image
from benchmark.data.vocabulary import OFFICIAL_COUNTS, RAF_DB_CLASSES, SYNTHETIC_MARK
from benchmark.scratch import half_made_folder

Array = NDArray[np.float64]
Colour = NDArray[np.float64]
Labels = NDArray[np.int64]

_FILE_NAMES = {"train": "train_{:05d}", "test": "test_{:04d}"}
_FEAR, _DISGUST, _NEUTRAL = 1, 2, 6
_LEAST_PER_CLASS = 2
_MIXED = 16  # the order has a generator of its own


def write_synthetic_faces(
    root: Path,
    *,
    train: int,
    test: int,
    seed: int,
    size: int = 100,
    label_noise: float = 0.02,
    pose: float = 1.0,
    disturbance: float = 1.0,
    shares: Mapping[str, float] | None = None,
) -> None:
    """Draw `train` + `test` faces and write them under `root` as RAF-DB's `basic` folder is laid out.

    Writes `root/EmoLabel/list_patition_label.txt` (lines `train_00001.jpg 5`, ids 1 surprise to 7 neutral),
    `root/Image/aligned/train_00001_aligned.jpg`, and a file that marks the set as drawn. Written labels have RAF-DB's
    class proportions in each split, with at least two images of each class. Each image has its own generator, derived
    from (seed, split, position): the same arguments give the same bytes under the same library versions. The folder
    appears under its name only when complete.

    Args:
        root: the folder to create; it may exist if it is empty.
        train: training images, 14 or more.
        test: test images, 14 or more.
        seed: not negative.
        size: width and height in pixels.
        label_noise: the share of labels, in both splits, that are wrong: the face shows one of the other
            expressions, drawn by class frequency. Class counts and file order are the written labels'.
        pose: how far heads turn, lean, and differ in size and place: 1 as a loose alignment leaves them, 0 not at all.
        disturbance: how far light, colours, focus, sensor and whatever is in front of a face trouble a picture: 1 as in
            snapshots, 0 not at all.
        shares: of classes that shall have another share than in RAF-DB, by name; the others keep their proportions.

    Raises:
        ValueError: a split is too small for two images of each class, shares that make no whole, or `root` holds files.
    """
    if not 0 <= label_noise < 1:
        raise ValueError(f"label_noise is {label_noise}; give a share from 0 up to, but not including, 1")
    for name, value in (("pose", pose), ("disturbance", disturbance)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value}; give a share from 0 to 1")
    counts = {split: class_counts(split, images, shares) for split, images in (("train", train), ("test", test))}
    root.parent.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
    lock = FileLock(Path(tempfile.gettempdir()) / f"ferfuse-draw-{key}.lock")
    with lock, half_made_folder(root) as scratch:
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise ValueError(f"{root} already exists; delete it or choose another folder")
        unfinished = scratch / "faces"
        (unfinished / "EmoLabel").mkdir(parents=True)
        (unfinished / "Image" / "aligned").mkdir(parents=True)
        lines: list[str] = []
        for number, split in enumerate(counts):
            for_order, for_noise, for_images = np.random.SeedSequence([seed, number]).spawn(3)
            labels = ordered_labels(counts[split], np.random.default_rng(for_order))
            shown = _with_other_classes(labels, label_noise, np.random.default_rng(for_noise))
            for position, image_seed in enumerate(for_images.spawn(len(labels))):
                name = _FILE_NAMES[split].format(position + 1)
                face = render_face(int(shown[position]), np.random.default_rng(image_seed), size, pose, disturbance)
                file = unfinished / "Image" / "aligned" / f"{name}_aligned.jpg"
                write_image(Image.fromarray(face), file, format="JPEG", quality=92)
                lines.append(f"{name}.jpg {labels[position] + 1}\n")
        (unfinished / "EmoLabel" / "list_patition_label.txt").write_text("".join(lines), encoding="utf-8")
        (unfinished / SYNTHETIC_MARK).write_text(
            "These faces are drawn by ferfuse, not photographed.\n", encoding="utf-8"
        )
        unfinished.rename(root)


def mix_order(root: Path, seed: int) -> None:
    """Shuffle the list of images under `root`, so that the file order says nothing about the class."""
    file = root / "EmoLabel" / "list_patition_label.txt"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    order = np.random.default_rng([seed, _MIXED]).permutation(len(lines))
    file.write_text("".join(lines[row] for row in order), encoding="utf-8")


def class_counts(split: str, images: int, shares: Mapping[str, float] | None = None) -> Labels:
    """RAF-DB's class proportions over `images` images by largest remainder, two or more a class: (C,).

    Args:
        shares: of classes that have another share; what they leave goes to the others in RAF-DB's proportions.
    """
    least = _LEAST_PER_CLASS * len(RAF_DB_CLASSES)
    if images < least:
        raise ValueError(f"{split}={images} is too small for two images of each class; ask for {least} or more")
    published = np.array(OFFICIAL_COUNTS[split])
    quotas = images * published / published.sum() if not shares else images * _proportions(published, shares)
    counts: Labels = np.floor(quotas).astype(np.int64)
    by_remainder = np.argsort(counts - quotas, kind="stable")
    counts[by_remainder[: images - counts.sum()]] += 1
    while counts.min() < _LEAST_PER_CLASS:
        counts[counts.argmax()] -= 1
        counts[counts.argmin()] += 1
    return counts


def _proportions(published: Labels, shares: Mapping[str, float]) -> Array:
    """Share of each class (C,), those that are given put in the place of the published ones."""
    for name, share in shares.items():
        if name not in RAF_DB_CLASSES:
            raise ValueError(f"share of '{name}': there is no such class; known: {', '.join(RAF_DB_CLASSES)}")
        if not 0 < share < 1:
            raise ValueError(f"share of {name} is {share:g}; give a number between 0 and 1")
    given = np.array([shares.get(name, 0.0) for name in RAF_DB_CLASSES])
    rest = np.where(given > 0, 0.0, published)
    left = 1 - float(given.sum())
    if abs(left) > 1e-9 and (left < 0 or not rest.any()):
        raise ValueError(f"the shares add up to {given.sum():g}; they must leave something for the other classes")
    return given + (left * rest / rest.sum() if rest.any() else 0)


def ordered_labels(counts: Sequence[int] | Labels, rng: np.random.Generator) -> Labels:
    """Labels (N,) in RAF-DB's file order: mixed, then blocks: 90 % of fear, half of disgust, all neutral."""
    blocks = np.zeros(len(counts), dtype=np.int64)
    blocks[_FEAR] = counts[_FEAR] * 9 // 10
    blocks[_DISGUST] = counts[_DISGUST] // 2
    blocks[_NEUTRAL] = counts[_NEUTRAL]
    classes = np.arange(len(counts))
    mixed = rng.permutation(np.repeat(classes, np.asarray(counts) - blocks))
    return np.concatenate([mixed, np.repeat(classes, blocks)])


def _with_other_classes(labels: Labels, share: float, rng: np.random.Generator) -> Labels:
    """The labels (N,) with round(share * N) of them replaced by another class, drawn by its frequency."""
    frequencies = np.bincount(labels, minlength=len(RAF_DB_CLASSES)).astype(float)
    replaced = labels.copy()
    for image in rng.choice(len(labels), size=round(share * len(labels)), replace=False):
        others = frequencies * (np.arange(len(frequencies)) != labels[image])
        replaced[image] = rng.choice(len(others), p=others / others.sum())
    return replaced
