from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.config import DataSettings, UserError
from benchmark.data.formats.raf_db import read_raf_db
from benchmark.data.manifest import Manifest
from benchmark.data.splits import split_rows


def test_parts_are_disjoint_stratified_and_leave_test_alone(faces: Path) -> None:
    manifest = read_raf_db(faces)
    split = split_rows(manifest, DataSettings(validation_fraction=0.25), seed=0, drawn=1)
    assert set(split.test) == set(np.flatnonzero(manifest.is_test))
    assert not set(split.train) & set(split.validation)
    assert set(split.train) | set(split.validation) == set(np.flatnonzero(~manifest.is_test))
    whole = np.bincount(manifest.labels[~manifest.is_test], minlength=7)
    part = np.bincount(manifest.labels[split.validation], minlength=7)
    np.testing.assert_allclose(part, whole * 0.25, atol=1)


def test_follows_the_seed(faces: Path) -> None:
    manifest = read_raf_db(faces)
    first, again, other = (split_rows(manifest, DataSettings(), 0, drawn).validation for drawn in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)


def test_a_class_too_rare_for_two_parts_is_named() -> None:
    labels = np.array([0] * 9 + [1])
    ids = tuple(f"train_{i}.jpg" for i in range(10))
    manifest = Manifest("d", "d", ("often", "seldom"), ids, tuple(map(Path, ids)), labels, np.zeros(10, bool))
    with pytest.raises(UserError, match="class seldom has 1"):
        split_rows(manifest, DataSettings(), seed=0, drawn=0)


def drawn_faces(persons: int, each: int = 6, classes: int = 3) -> Manifest:
    """Images of persons without an official test part: person p shows class (p + i) modulo C in image i."""
    labels = np.array([(p + i) % classes for p in range(persons) for i in range(each)])
    ids = tuple(f"{i}.png" for i in range(labels.size))
    groups = np.repeat([f"person {p}" for p in range(persons)], each)
    names = tuple("abc"[:classes])
    return Manifest("d", "d", names, ids, tuple(map(Path, ids)), labels, np.zeros(labels.size, bool), groups=groups)


@pytest.mark.parametrize("split", ["kfold", "groups"])
def test_every_image_is_tested_on_once_in_each_round_of_folds(split: str) -> None:
    manifest = drawn_faces(15)
    data = DataSettings(split=split, test_folds=5)
    parts = [split_rows(manifest, data, seed, drawn=seed) for seed in range(10)]
    for first in (0, 5):
        tested = np.concatenate([parts[seed].test for seed in range(first, first + 5)])
        assert sorted(tested) == list(range(90))
    assert set(parts[0].test) != set(parts[5].test)
    for part in parts:
        rows = [*part.train, *part.validation, *part.test]
        assert sorted(rows) == list(range(90))


def test_no_person_is_in_two_parts_where_groups_are_asked_for() -> None:
    manifest = drawn_faces(15)
    assert manifest.groups is not None
    for seed in range(5):
        part = split_rows(manifest, DataSettings(split="groups"), seed, drawn=seed)
        persons = [set(manifest.groups[rows]) for rows in (part.train, part.validation, part.test)]
        assert not persons[0] & persons[1]
        assert not persons[0] & persons[2]
        assert not persons[1] & persons[2]
    by_class = split_rows(manifest, DataSettings(split="kfold"), 0, drawn=0)
    assert set(manifest.groups[by_class.train]) & set(manifest.groups[by_class.test])


def test_a_data_sets_own_validation_images_stay_what_they_are() -> None:
    manifest = drawn_faces(10)
    is_test, is_validation = np.zeros(60, bool), np.zeros(60, bool)
    is_test[50:], is_validation[:7] = True, True
    own = replace(manifest, is_test=is_test, is_validation=is_validation)
    for seed in range(3):
        part = split_rows(own, DataSettings(), seed, drawn=seed)
        assert list(part.validation) == list(range(7))
        assert list(part.test) == list(range(50, 60))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (DataSettings(split="groups", test_folds=5), "3 persons cannot be cut into 5 parts"),
        (DataSettings(split="groups", test_folds=2, validation_fraction=0.1), "persons cannot be cut into 10 parts"),
        (DataSettings(split="kfold", test_folds=9), "9 folds need 9 training images of every class, the rarest has 6"),
    ],
)
def test_too_few_persons_or_images_are_one_line(data: DataSettings, message: str) -> None:
    with pytest.raises(UserError, match=message):
        split_rows(drawn_faces(3), data, seed=0, drawn=0)
