"""Every format from a fixture in its own way: images, labels and parts are those that were written."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.config import DATASETS, DataSettings, UserError
from benchmark.data.formats import all_formats, read_dataset
from benchmark.data.formats.ferplus import COLUMNS, majority
from benchmark.data.formats.raf_db import LABEL_FILE
from benchmark.data.manifest import Manifest
from benchmark.data.sources import find_dataset, open_dataset
from benchmark.data.vocabulary import CLASSES
from tests.data.formats import layouts


def by_id(manifest: Manifest) -> dict[str, tuple[str, str]]:
    """Class and part of each image, by name."""
    part = {row: name for name, rows in manifest.parts.items() for row in np.flatnonzero(rows)}
    return {
        image: (manifest.classes[label], part[row])
        for row, (image, label) in enumerate(zip(manifest.image_ids, manifest.labels, strict=True))
    }


def pixels(manifest: Manifest, image_id: str) -> np.ndarray:
    with Image.open(manifest.files[manifest.image_ids.index(image_id)]) as image:
        return np.asarray(image.convert("L"))


def test_every_format_can_be_named() -> None:
    assert {one.name for one in all_formats()} == set(DATASETS) - {"synthetic", "auto"}
    assert all(one.terms.endswith(".") for one in all_formats())


@pytest.mark.parametrize("lists", [True, False], ids=["with lists", "without lists"])
@pytest.mark.parametrize("test", ["test", "valid"])
def test_raf_db_in_class_folders(tmp_path: Path, test: str, lists: bool) -> None:
    manifest = read_dataset("auto", layouts.raf_db_folders(tmp_path, test=test, lists=lists), tmp_path)
    found = by_id(manifest)
    assert found["train_00009.jpg"] == ("fear", "train")
    assert found["test_00007.jpg"] == ("neutral", "test")
    assert len(found) == 21
    assert (manifest.image_ids[0] == "train_00014.jpg") == lists
    assert bool(manifest.origin.notes) == (test == "valid")


def test_raf_db_in_class_folders_is_the_official_one(faces: Path, tmp_path: Path) -> None:
    lines = [line.split() for line in (faces / LABEL_FILE).read_text().splitlines()]
    for name, label in lines:
        aligned = name.replace(".jpg", "_aligned.jpg")
        target = tmp_path / name.partition("_")[0] / label / aligned
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(faces / "Image" / "aligned" / aligned, target)
    packed = read_dataset("raf-db", tmp_path, tmp_path)
    official = read_dataset("raf-db", faces, tmp_path)
    assert packed.content_digest(tmp_path / "a") == official.content_digest(tmp_path / "b")


@pytest.mark.parametrize("name", ["fer2013.csv", "icml_face_data.csv"])
def test_fer2013_through_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from torchvision.datasets import FER2013

    usages = ["Training"] * 7 + ["PublicTest", "Training", "PrivateTest"]
    root = layouts.fer2013(tmp_path / "here" / "fer2013", usages, monkeypatch, name)
    manifest = read_dataset("auto", root.parent, tmp_path / "data")
    assert by_id(manifest)["fer0000007.png"] == ("anger", "validation")
    assert by_id(manifest)["fer0000009.png"] == ("fear", "test")
    torchvision_train = FER2013(str(root.parent), "train")
    train = [row for row, usage in enumerate(usages) if usage == "Training"]
    for row, (image, label) in zip(train, torchvision_train, strict=True):
        np.testing.assert_array_equal(pixels(manifest, f"fer{row:07d}.png"), np.asarray(image))
        assert by_id(manifest)[f"fer{row:07d}.png"] == (layouts.FER_IDS[label], "train")


def test_fer2013_without_test_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = layouts.fer2013(tmp_path / "fer", ["Training"] * 14, monkeypatch, "train.csv")
    layouts.fer2013(root, ["Training"] * 3, monkeypatch, "test.csv")
    manifest = find_dataset(DataSettings(dataset="fer2013", root=root), tmp_path / "data")
    assert len(manifest) == 14
    assert not manifest.is_test.any()
    assert "test.csv is left out" in manifest.origin.notes[0]
    with pytest.raises(UserError, match=r"names no test images.*data.split=kfold"):
        open_dataset(DataSettings(dataset="fer2013", root=root), tmp_path / "data")


def test_ferplus_takes_the_majority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usages = ["Training", "Training", "Training", "PublicTest", "PrivateTest", "PrivateTest"]
    votes = [
        [0, 9, 1, 0, 0, 0, 0, 0, 0, 0],  # happiness; the single vote is dropped
        [5, 0, 0, 5, 0, 0, 0, 0, 0, 0],  # half is no majority
        [0, 0, 0, 0, 0, 0, 0, 8, 2, 0],  # contempt
        [1, 0, 0, 0, 4, 3, 1, 1, 0, 0],  # anger: 4 of the 7 that are left
        [0, 0, 0, 0, 0, 0, 6, 2, 2, 0],  # fear: 6 of 10
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 9],  # no face
    ]
    root = layouts.fer2013(tmp_path / "fer2013", usages, monkeypatch)
    manifest = read_dataset("auto", layouts.ferplus_votes(root, usages, votes), tmp_path / "data")
    assert by_id(manifest) == {
        "fer0000000.png": ("happiness", "train"),
        "fer0000002.png": ("contempt", "train"),
        "fer0000003.png": ("anger", "validation"),
        "fer0000004.png": ("fear", "test"),
    }
    assert manifest.votes is not None
    fear = manifest.votes[manifest.image_ids.index("fer0000004.png")]
    assert fear[manifest.classes.index("fear")] == pytest.approx(6 / 8)
    assert fear[manifest.classes.index("contempt")] == pytest.approx(2 / 8)


def test_majority_is_more_than_half_of_all_votes() -> None:
    votes = np.zeros(len(COLUMNS), int)
    votes[[1, 8]] = 5, 5
    assert majority(votes) is None
    votes[1] = 6
    assert majority(votes) == "happiness"


@pytest.mark.parametrize("leave_out", [[], ["contempt"]], ids=["8 classes", "7 classes"])
def test_affectnet(tmp_path: Path, leave_out: list[str]) -> None:
    root = layouts.affectnet(tmp_path / "AffectNet", [*range(8), 9, 10])
    manifest = open_dataset(DataSettings(dataset="auto", root=root, leave_out=leave_out), tmp_path).manifest
    assert len(manifest.classes) == 8 - len(leave_out)
    expected = {
        f"{folder}/{n}.jpg": (name, part)
        for part, folder in (("train", "train_set"), ("test", "val_set"))
        for n, name in enumerate(layouts.AFFECTNET_IDS)
        if name not in leave_out
    }
    assert by_id(manifest) == expected
    assert "4 images without an expression" in manifest.origin.notes[1]


@pytest.mark.parametrize("count", [5, 6, 7, 8])
def test_class_folders_of_five_to_eight_classes(tmp_path: Path, count: int) -> None:
    words = ("Happy", "SAD", "angry", "neutral", "surprised", "fear", "disgust", "contempt")[:count]
    manifest = read_dataset("auto", layouts.folders(tmp_path / "mine", words), tmp_path)
    assert manifest.classes == tuple(name for name in CLASSES if name in set(manifest.origin.mapping.values()))
    assert len(manifest.classes) == count
    assert by_id(manifest)["test/SAD/S001_1.png"] == ("sadness", "test")
    assert manifest.origin.mapping["angry"] == "anger"


def test_class_folders_without_parts_find_persons_by_name(tmp_path: Path) -> None:
    root = layouts.folders(tmp_path / "ck", ("anger", "happy", "sadness"), parts=("",), each=3)
    settings = DataSettings(dataset="auto", root=root, split="groups", test_folds=3, group_pattern=r"(S\d+)_")
    manifest = open_dataset(settings, tmp_path).manifest
    assert manifest.groups is not None
    assert sorted(set(manifest.groups.tolist())) == ["S000", "S001", "S002"]
    assert not manifest.is_test.any()


def test_three_parts_keep_their_validation_images(tmp_path: Path) -> None:
    manifest = read_dataset("auto", layouts.folders(tmp_path, ("happy", "sad"), ("train", "val", "test")), tmp_path)
    assert {name: int(rows.sum()) for name, rows in manifest.parts.items()} == {"train": 4, "validation": 4, "test": 4}


def test_csv_list(tmp_path: Path) -> None:
    rows = ["a/1.png,Happy,train,anna", "a/2.png,sadness,train,ben", "3.png,happiness,test,cleo", "4.png,sad,val,anna"]
    manifest = read_dataset("auto", layouts.csv_list(tmp_path, rows), tmp_path)
    assert by_id(manifest) == {
        "a/1.png": ("happiness", "train"),
        "a/2.png": ("sadness", "train"),
        "3.png": ("happiness", "test"),
        "4.png": ("sadness", "validation"),
    }
    assert manifest.groups is not None
    assert dict(zip(manifest.image_ids, manifest.groups.tolist(), strict=True))["3.png"] == "cleo"
    alone = read_dataset("csv", tmp_path / "manifest.csv", tmp_path)
    assert by_id(alone) == by_id(manifest)


def person_in(part: str, number: int) -> str:
    """A name whose hash puts the person into a part: the rule, worked out again."""
    buckets = {"unused": range(20), "test": range(20, 40), "train": range(40, 100)}[part]
    names = (f"Person{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(676))
    return [n for n in names if int(hashlib.sha256(n.encode()).hexdigest(), 16) % 100 in buckets][number]


def test_open_faces_by_the_rule(tmp_path: Path) -> None:
    train, test, unused = (person_in(part, 0) for part in ("train", "test", "unused"))
    rows = [
        (f"{train}_0001.jpg", "HAPPINESS"),
        (f"{train}_0002.jpg", "sadness"),
        (f"{train}_0003.jpg", "fear"),
        (f"{train}_0003.jpg", "anger"),
        (f"{test}_0001.jpg", " neutral "),
        (f"{test}_0002.jpg", "contempt"),
        (f"{test}_0004.jpg", "disgust"),
        (f"{unused}_0001.jpg", "sadness"),
    ]
    manifest = read_dataset("auto", layouts.open_faces(tmp_path / "checkout", rows), tmp_path / "data")
    assert sorted(by_id(manifest).values()) == [
        ("disgust", "test"),
        ("happiness", "train"),
        ("neutral", "test"),
        ("sadness", "train"),
    ]
    assert by_id(manifest)["test_0002.jpg"] == ("neutral", "test")
    assert manifest.groups is not None
    assert set(manifest.groups[manifest.is_test]) == {test}
    assert pixels(manifest, "train_00001.jpg").shape == (100, 100)


def test_the_same_file_found_by_name_or_by_itself(faces: Path, tmp_path: Path) -> None:
    assert read_dataset("auto", faces.parent, tmp_path).image_ids == read_dataset("raf-db", faces, tmp_path).image_ids


def test_two_data_sets_in_one_folder_are_not_guessed_between(tmp_path: Path) -> None:
    layouts.folders(tmp_path / "one", ("happy", "sad"))
    layouts.csv_list(tmp_path / "two", ["1.png,happy,train,a", "2.png,sad,test,b"])
    with pytest.raises(UserError, match="more than one way") as caught:
        read_dataset("auto", tmp_path, tmp_path)
    assert "folders in" in str(caught.value)
    assert "csv in" in str(caught.value)
    assert len(read_dataset("csv", tmp_path, tmp_path)) == 2


def test_what_is_not_known_is_answered_with_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    with pytest.raises(UserError, match="holds no data set of a known form") as caught:
        read_dataset("auto", tmp_path, tmp_path)
    assert all(re.escape(one.layout) and one.layout in str(caught.value) for one in all_formats())
