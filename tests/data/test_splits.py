from pathlib import Path

import numpy as np
import pytest
from benchmark.data.raf_db import read_raf_db

from benchmark.config import UserError
from benchmark.data.manifest import Manifest
from benchmark.data.splits import split_rows


def test_parts_are_disjoint_stratified_and_leave_test_alone(faces: Path) -> None:
    manifest = read_raf_db(faces)
    split = split_rows(manifest, 0.25, seed=1)
    assert set(split.test) == set(np.flatnonzero(manifest.is_test))
    assert not set(split.train) & set(split.validation)
    assert set(split.train) | set(split.validation) == set(np.flatnonzero(~manifest.is_test))
    whole = np.bincount(manifest.labels[~manifest.is_test], minlength=7)
    part = np.bincount(manifest.labels[split.validation], minlength=7)
    np.testing.assert_allclose(part, whole * 0.25, atol=1)


def test_follows_the_seed(faces: Path) -> None:
    manifest = read_raf_db(faces)
    first, again, other = (split_rows(manifest, 0.2, seed).validation for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)


def test_a_class_too_rare_for_two_parts_is_named() -> None:
    labels = np.array([0] * 9 + [1])
    ids = tuple(f"train_{i}.jpg" for i in range(10))
    manifest = Manifest("d", "d", ("often", "seldom"), ids, tuple(map(Path, ids)), labels, np.zeros(10, bool))
    with pytest.raises(UserError, match="class seldom has 1"):
        split_rows(manifest, 0.2, seed=0)
