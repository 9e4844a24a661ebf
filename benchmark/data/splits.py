"""What a seed learns from, selects by and reports."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, train_test_split

from benchmark.config import DataSettings, UserError
from benchmark.data.manifest import Manifest


@dataclass(frozen=True)
class Split:
    """Row numbers of the manifest: what is learnt from, what selects, what is reported."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_rows(manifest: Manifest, data: DataSettings, seed: int, drawn: int) -> Split:
    """Return the rows of a seed: its test images, the validation images, and the rest to learn from.

    Official test and validation images are the same for every seed; a drawn test part is fold `seed` modulo the number
    of folds, and seeds beyond it cut the images anew. Validation images that have to be drawn are drawn by class, and
    by person where persons are known.

    Args:
        drawn: the number that the validation images are drawn from.

    Raises:
        UserError: a class has too few images to be in all parts.
    """
    test = np.flatnonzero(manifest.is_test) if data.split == "official" else _test_fold(manifest, data, seed)
    rows = np.setdiff1d(np.arange(len(manifest)), test)
    if manifest.is_validation is not None and data.split == "official":
        validation = np.flatnonzero(manifest.is_validation)
    elif manifest.groups is not None:
        validation = _cut_by_person(manifest, rows, max(2, round(1 / data.validation_fraction)), drawn)[0]
    else:
        validation = _class_part(manifest, rows, data.validation_fraction, drawn)
    return Split(np.setdiff1d(rows, validation), np.sort(validation), test)


def _test_fold(manifest: Manifest, data: DataSettings, seed: int) -> np.ndarray:
    """Return the test rows of a seed: all folds of one cut together hold every image once."""
    cut, fold = divmod(seed, data.test_folds)
    rows = np.arange(len(manifest))
    if data.split == "kfold":
        return cut_folds(rows, manifest.labels, data.test_folds, cut)[fold]
    return _cut_by_person(manifest, rows, data.test_folds, cut)[fold]


def _cut_by_person(manifest: Manifest, rows: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """Cut rows into `count` parts of about equal class shares, no person in two of them."""
    assert manifest.groups is not None, "called where persons are known"
    persons = np.unique(manifest.groups[rows]).size
    if persons < count:
        raise UserError(
            f"{persons} persons cannot be cut into {count} parts; change data.test_folds or data.validation_fraction"
        )
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed % 2**32)
    with warnings.catch_warnings():
        # Persons come first here: a rare class may be missing from a part.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        return [rows[part] for _, part in folds.split(rows, manifest.labels[rows], manifest.groups[rows])]


def _class_part(manifest: Manifest, rows: np.ndarray, fraction: float, drawn: int) -> np.ndarray:
    try:
        _, validation = train_test_split(
            rows, test_size=fraction, random_state=drawn % 2**32, stratify=manifest.labels[rows]
        )
    except ValueError as error:
        counts = np.bincount(manifest.labels[rows], minlength=len(manifest.classes))
        rarest = int(np.argmin(counts))
        raise UserError(
            f"{len(rows)} training images cannot give a stratified validation part of {fraction:g}: "
            f"class {manifest.classes[rarest]} has {counts[rarest]}; add images or change data.validation_fraction"
        ) from error
    return np.asarray(validation)


def cut_folds(rows: np.ndarray, labels: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """Cut rows into `count` parts stratified by label, drawn from the seed.

    Raises:
        UserError: a class has fewer rows than there are parts.
    """
    rarest = int(np.bincount(labels)[np.unique(labels)].min())
    if rarest < count:
        raise UserError(
            f"{count} folds need {count} training images of every class, the rarest has {rarest}; set folds"
        )
    folds = StratifiedKFold(count, shuffle=True, random_state=seed % 2**32)
    return [rows[part] for _, part in folds.split(rows, labels)]
