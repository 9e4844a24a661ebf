"""The validation part, carved from the training images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedKFold, train_test_split

from benchmark.config import UserError
from benchmark.data.manifest import Manifest


@dataclass(frozen=True)
class Split:
    """Row numbers of the manifest: what is learnt from, what selects, what is reported."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_rows(manifest: Manifest, validation_fraction: float, seed: int) -> Split:
    """Draw a validation part stratified by class; the official test images stay the test images.

    Raises:
        UserError: a class has too few training images to be in both parts.
    """
    rows = np.flatnonzero(~manifest.is_test)
    try:
        train, validation = train_test_split(
            rows, test_size=validation_fraction, random_state=seed % 2**32, stratify=manifest.labels[rows]
        )
    except ValueError as error:
        counts = np.bincount(manifest.labels[rows], minlength=len(manifest.classes))
        rarest = int(np.argmin(counts))
        raise UserError(
            f"{len(rows)} training images cannot give a stratified validation part of {validation_fraction:g}: "
            f"class {manifest.classes[rarest]} has {counts[rarest]}; add images or change data.validation_fraction"
        ) from error
    return Split(np.sort(train), np.sort(validation), np.flatnonzero(manifest.is_test))


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
