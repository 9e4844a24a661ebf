"""From settings to a manifest: find the data set on disk, or draw it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmark.config import DataSettings, SyntheticSettings, UserError, nearest
from benchmark.data.archive import unpacked
from benchmark.data.formats import read_dataset
from benchmark.data.formats.raf_db import read_raf_db
from benchmark.data.gate.near import near_pairs
from benchmark.data.manifest import Manifest
from benchmark.data.memory import made_once
from benchmark.data.store import image_facts, stored_images
from benchmark.data.synthetic import write_synthetic_faces

GENERATOR_VERSION = 2  # raise when the same settings draw other faces


@dataclass(frozen=True, eq=False)
class OpenedDataset:
    """A data set as an experiment uses it.

    Attributes:
        data_dir: where decoded images and other files made from it are kept.
    """

    manifest: Manifest
    settings: DataSettings
    data_dir: Path

    @cached_property
    def digest(self) -> str:
        """The digest of images, labels and targets; see `Manifest.learnt_digest`."""
        return self.manifest.learnt_digest(self.data_dir / "store")

    @cached_property
    def images_file(self) -> Path:
        """The (N, S, S, 3) uint8 array of all images, which are decoded if no run has done so."""
        return stored_images(self.manifest, self.settings.image_size, self.data_dir)

    @property
    def n_learnt(self) -> int:
        """Number of training and validation images."""
        return int((~self.manifest.is_test).sum())


def open_dataset(data: DataSettings, data_dir: Path) -> OpenedDataset:
    """Return the data set that the settings name, ready for the split that they ask for.

    Args:
        data_dir: where synthetic faces, unpacked archives and converted images are written, each once.

    Raises:
        UserError: the data are not where they should be, not as they should be, or cannot be split so.
    """
    manifest = find_dataset(data, data_dir)
    _refuse_impossible_split(manifest, data)
    return OpenedDataset(manifest, data, data_dir)


def find_dataset(data: DataSettings, data_dir: Path) -> Manifest:
    """Return the manifest of such a data set, whether or not it can be split as the settings ask.

    Raises:
        UserError: the data are not where they should be, or not as they should be.
    """
    if data.root is None:
        if data.dataset != "synthetic":
            raise UserError(f"data set {data.dataset} needs its folder; give it by --data-root (make: DATA_ROOT=...)")
        manifest = read_raf_db(_draw_once(data.synthetic, data_dir))
    else:
        root = unpacked(data.root, data_dir) if data.root.suffix.lower() == ".zip" else data.root
        manifest = read_dataset("auto" if data.dataset == "synthetic" else data.dataset, root, data_dir)
    manifest = _without_classes(manifest, data.leave_out)
    if data.duplicates != "keep":
        manifest = without_test_images(manifest, data, data_dir)
    if data.labels == "votes":
        manifest = replace(manifest, targets=_distributions(manifest))
    if data.group_pattern is not None:
        manifest = replace(manifest, groups=_persons(manifest, data.group_pattern))
    return manifest


def _without_classes(manifest: Manifest, names: list[str]) -> Manifest:
    """Leave out the images of some classes, and the classes."""
    for name in names:
        if name not in manifest.classes:
            raise UserError(f"data.leave_out names '{name}', no class here; {nearest(name, manifest.classes)}")
    if not names:
        return manifest
    kept = [number for number, name in enumerate(manifest.classes) if name not in names]
    if len(kept) < 2:
        raise UserError("data.leave_out leaves fewer than two classes; leave out fewer")
    renumbered = np.full(len(manifest.classes), -1)
    renumbered[kept] = np.arange(len(kept))
    smaller = manifest.take(np.flatnonzero(np.isin(manifest.labels, kept)))
    notes = (*manifest.origin.notes, f"{', '.join(names)} left out by data.leave_out")
    return replace(
        smaller,
        classes=tuple(manifest.classes[number] for number in kept),
        labels=renumbered[smaller.labels],
        votes=None if smaller.votes is None else smaller.votes[:, kept],
        origin=replace(manifest.origin, notes=notes, published={}),
    )


def without_test_images(manifest: Manifest, data: DataSettings, data_dir: Path) -> Manifest:
    """Leave out the training and validation images that have the pixels of a test image, or look like one.

    Raises:
        UserError: there is no test part that they could equal.
    """
    if not manifest.is_test.any():
        raise UserError(f"data.duplicates={data.duplicates}: {manifest.title} names no test images to compare with")
    facts = image_facts(manifest, data.image_size, data_dir)
    readable = facts["fault"] == ""
    gone = ~manifest.is_test & readable & np.isin(facts["pixels"], facts["pixels"][manifest.is_test & readable])
    what = "equal a test image"
    if data.duplicates == "leave-out-near":
        rest = np.flatnonzero(~gone)  # of identical images one stands for all, which has to be of one part
        pairs = rest[near_pairs(facts[rest])]
        across = pairs[manifest.is_test[pairs[:, 0]] != manifest.is_test[pairs[:, 1]]]
        gone |= ~manifest.is_test & readable & np.isin(facts["pixels"], facts["pixels"][across])
        what = "equal a test image or look like one"
    smaller = manifest.take(np.flatnonzero(~gone))
    note = f"{int(gone.sum())} training and validation images that {what} left out by data.duplicates={data.duplicates}"
    origin = replace(manifest.origin, notes=(*manifest.origin.notes, note), published={})
    return replace(smaller, origin=origin)


def _distributions(manifest: Manifest) -> np.ndarray:
    """Return each image's votes for the classes that are used, as shares of their sum, (N, C) float32."""
    if manifest.votes is None:
        raise UserError(
            f"data.labels=votes needs raters' votes about each image, which {manifest.title} does not have; leave "
            "data.labels at majority"
        )
    shares: np.ndarray = manifest.votes / manifest.votes.sum(axis=1, keepdims=True)
    assert (shares.argmax(axis=1) == manifest.labels).all(), "the label is the class with most of the votes"
    return shares.astype(np.float32)


def _persons(manifest: Manifest, pattern: str) -> np.ndarray:
    found = [re.search(pattern, name) for name in manifest.image_ids]
    for name, match in zip(manifest.image_ids, found, strict=True):
        if match is None:
            raise UserError(f"data.group_pattern '{pattern}' finds no person in {name}; change the pattern")
    return np.array([match[match.lastindex or 0] for match in found if match])


def _refuse_impossible_split(manifest: Manifest, data: DataSettings) -> None:
    if data.split == "official" and not manifest.is_test.any():
        raise UserError(
            f"{manifest.title} names no test images; test on each part in turn by --set data.split=kfold, or by person "
            "with --set data.split=groups"
        )
    if data.split != "official" and manifest.is_test.any():
        raise UserError(
            f"{manifest.title} has a test set of its own; leave data.split at official, so that results can be compared"
        )
    if data.split == "groups" and manifest.groups is None:
        raise UserError(
            f"data.split=groups needs the persons of {manifest.title}; give them in a CSV list's column group, or by "
            "--set data.group_pattern=EXPRESSION on the files' names"
        )


def _draw_once(settings: SyntheticSettings, data_dir: Path) -> Path:
    key = json.dumps({"version": GENERATOR_VERSION, **settings.model_dump()}, sort_keys=True)
    root = data_dir / "synthetic" / hashlib.sha256(key.encode()).hexdigest()[:12]

    def draw(folder: Path) -> None:
        try:
            write_synthetic_faces(folder, **settings.model_dump())
        except ValueError as error:
            raise UserError(str(error)) from error

    return made_once(root, draw)
