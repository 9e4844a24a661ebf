"""The gate finds every fault that is planted, and none in a clean set."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.config import DataSettings, UserError
from benchmark.data.export import write_raf_db_layout
from benchmark.data.formats.raf_db import IMAGE_FOLDER, read_raf_db
from benchmark.data.gate import CODES, Report, check_data, describe_data, pass_gate
from benchmark.data.gate.findings import Finding, Subject
from benchmark.data.gate.near import hash_pairs, near_pairs
from benchmark.data.gate.order import neighbour_accuracy
from benchmark.data.gate.persons import check_persons
from benchmark.data.manifest import Manifest
from benchmark.data.scan import FACTS
from benchmark.data.synthetic import mix_order, write_synthetic_faces
from tests.data.faults import FAULTS, plant_faults

SETTINGS = DataSettings(image_size=16)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic faces without label noise, in an order that says nothing; not to be changed."""
    root = tmp_path_factory.mktemp("clean") / "basic"
    shares = {"fear": 0.08, "disgust": 0.08, "anger": 0.15, "sadness": 0.25}
    write_synthetic_faces(root, train=420, test=240, seed=5, label_noise=0, shares=shares)
    mix_order(root, seed=5)
    return root


def check(root: Path, data_dir: Path, **settings: object) -> Report:
    return check_data(read_raf_db(root), SETTINGS.model_copy(update=settings), data_dir)


def codes(report: Report) -> dict[str, Finding]:
    return {one.code: one for one in report.findings}


def test_nothing_is_found_in_a_clean_set(clean: Path, tmp_path: Path) -> None:
    assert check(clean, tmp_path).findings == ()


COUNTS = {"swapped-classes": 1, "blue": 200, "grey": 200, "blocks": 1, "missing-classes": 2, "near-leaks": 6}


@pytest.mark.parametrize("name", FAULTS)
def test_every_planted_fault_is_found(clean: Path, tmp_path: Path, name: str) -> None:
    root = Path(shutil.copytree(clean, tmp_path / "basic"))
    count = COUNTS.get(name, 3)
    plant_faults(root, {name: count}, seed=1)
    found = codes(check(root, tmp_path / "data"))
    expected = FAULTS[name].finding
    assert expected in found, list(found)
    if name not in ("blue", "grey", "blocks"):
        assert found[expected].count == count
    also = {"constant": {"identical-within", "conflicting-labels"}, "conflicts": {"identical-within"}}
    assert set(found) <= {expected, *also.get(name, ())}


def test_every_finding_has_a_code_that_can_be_accepted(clean: Path) -> None:
    assert {fault.finding for fault in FAULTS.values()} < set(CODES)
    with pytest.raises(UserError, match="identical-acros: there is no such finding; did you mean identical-across"):
        check(clean, Path("unused"), accept=["identical-acros"])


def test_pairs_are_those_that_were_planted(clean: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(clean, tmp_path / "basic"))
    for source, target in (("test_0003", "train_00010"), ("test_0004", "train_00020")):
        folder = root / IMAGE_FOLDER
        shutil.copyfile(folder / f"{source}_aligned.jpg", folder / f"{target}_aligned.jpg")
    found = codes(check(root, tmp_path / "data"))["identical-across"]
    assert set(found.examples) == {"train_00010.jpg = test_0003.jpg", "train_00020.jpg = test_0004.jpg"}
    assert found.severity == "error"


def test_errors_stop_and_can_be_accepted(clean: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = Path(shutil.copytree(clean, tmp_path / "basic"))
    plant_faults(root, {"leaks": 3, "duplicates": 2}, seed=2)
    manifest = read_raf_db(root)
    with pytest.raises(UserError, match=r"identical-across: 3 identical pairs.*--accept identical-across") as caught:
        pass_gate(manifest, SETTINGS, tmp_path / "data")
    assert "\n" not in str(caught.value)
    accepting = SETTINGS.model_copy(update={"accept": ["identical-across"]})
    pass_gate(manifest, accepting, tmp_path / "data")
    findings = {
        one["code"]: one["accepted"] for one in describe_data(manifest, accepting, tmp_path / "data")["findings"]
    }
    assert findings == {"identical-across": True, "identical-within": False}


def test_warnings_and_terms_are_said_once(clean: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = Path(shutil.copytree(clean, tmp_path / "basic"))
    plant_faults(root, {"duplicates": 2}, seed=2)
    manifest = read_raf_db(root)
    pass_gate(manifest, SETTINGS, tmp_path / "data")
    assert [record.message.partition(":")[0] for record in caplog.records] == ["synthetic faces", "warning in the data"]
    caplog.clear()
    pass_gate(manifest, SETTINGS, tmp_path / "data")
    assert not caplog.records


def test_a_report_is_read_again_until_the_data_change(clean: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(clean, tmp_path / "basic"))
    assert check(root, tmp_path / "data").is_new
    assert not check(root, tmp_path / "data").is_new
    plant_faults(root, {"tiny": 1}, seed=0)
    changed = check(root, tmp_path / "data")
    assert changed.is_new
    assert changed.findings == replace(check(root, tmp_path / "data"), is_new=True).findings


def test_hashes_of_all_files_are_written_as_sha256sum_does(clean: Path, tmp_path: Path) -> None:
    from hashlib import sha256

    manifest = read_raf_db(clean)
    check(clean, tmp_path)
    (listing,) = tmp_path.rglob("*.sha256")
    first = listing.read_text().splitlines()[0]
    assert first == f"{sha256(manifest.files[0].read_bytes()).hexdigest()}  {manifest.image_ids[0]}"


def test_an_imported_set_is_the_same_set(clean: Path, tmp_path: Path) -> None:
    write_raf_db_layout(read_raf_db(clean), tmp_path / "copy")
    there, here = read_raf_db(tmp_path / "copy"), read_raf_db(clean)
    assert [file.read_bytes() for file in there.files] == [file.read_bytes() for file in here.files]
    np.testing.assert_array_equal(there.labels, here.labels)
    assert there.synthetic


def people(names: list[str], is_test: list[bool]) -> Manifest:
    ids = tuple(f"{number}.jpg" for number in range(len(names)))
    return Manifest(
        "d",
        "d",
        ("a", "b"),
        ids,
        tuple(map(Path, ids)),
        np.arange(len(names)) % 2,
        np.array(is_test),
        groups=np.array(names),
    )


@pytest.mark.parametrize(
    ("names", "is_test", "split", "shared"),
    [
        (["anna", "ben", "anna", "cleo"], [False, False, True, True], "official", ("anna",)),
        (["anna", "ben", "dora", "cleo"], [False, False, True, True], "official", ()),
        (["anna", "ben", "anna", "cleo"], [False] * 4, "kfold", ("anna",)),
        (["anna", "ben", "anna", "cleo"], [False] * 4, "groups", ()),
    ],
)
def test_persons_in_two_parts(names: list[str], is_test: list[bool], split: str, shared: tuple[str, ...]) -> None:
    findings = list(check_persons(Subject(people(names, is_test), np.zeros(4, FACTS), split)))
    assert tuple(name for one in findings for name in one.examples) == shared
    assert all(one.severity == "error" for one in findings)


def test_hash_pairs_are_those_of_a_double_loop() -> None:
    drawn = np.random.default_rng(0)
    first = drawn.integers(0, 2**63, 400, dtype=np.uint64)
    first[300:] = first[:100] ^ np.left_shift(np.uint64(7), drawn.integers(0, 60, 100).astype(np.uint64))
    expected = [
        (i, j) for i in range(400) for j in range(i + 1, 400) if (int(first[i]) ^ int(first[j])).bit_count() <= 3
    ]
    assert list(map(tuple, hash_pairs(first, first, 3).tolist())) == expected
    assert len(expected) >= 100


def test_neighbours_tell_the_class_of_a_block_and_nothing_when_mixed() -> None:
    blocks = np.repeat([0, 1], 96)
    assert neighbour_accuracy(blocks, 2) == (1.0, 4)
    alternating = np.tile([0, 1], 96)
    # Of the 47 others, 23 have the own class and 24 the other one: the guess is always wrong.
    assert neighbour_accuracy(alternating, 2) == (0.0, 0)


def test_a_huge_image_is_not_decoded(clean: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(clean, tmp_path / "basic"))
    target = root / IMAGE_FOLDER / "train_00001_aligned.jpg"
    Image.new("1", (10_001, 10)).save(target, format="PNG")
    found = codes(check(root, tmp_path / "data"))
    assert found["oversized"].examples == ("train_00001.jpg",)
    assert not list((tmp_path / "data").rglob("*.npy"))


def test_classes_and_persons_survive_an_import(tmp_path: Path) -> None:
    from benchmark.data.formats import read_dataset
    from tests.data.formats import layouts

    rows = ["1.png,happy,train,a", "2.png,contempt,train,b", "3.png,happy,test,c", "4.png,contempt,valid,d"]
    original = read_dataset("auto", layouts.csv_list(tmp_path / "list", rows), tmp_path)
    write_raf_db_layout(original, tmp_path / "copy")
    imported = read_dataset("auto", tmp_path / "copy", tmp_path)
    assert imported.classes == original.classes == ("happiness", "contempt")
    assert imported.groups is not None
    assert original.groups is not None
    np.testing.assert_array_equal(imported.groups, original.groups)
    np.testing.assert_array_equal(imported.labels, original.labels)
    np.testing.assert_array_equal(imported.is_validation, original.is_validation)
    with Image.open(imported.files[0]) as there, Image.open(original.files[0]) as here:
        difference = np.asarray(there, dtype=int) - np.asarray(here, dtype=int)
    assert np.abs(difference).max() <= 3


def test_images_without_any_like_them_give_no_pairs() -> None:
    facts = np.zeros(2, FACTS)
    facts["spread"], facts["pixels"], facts["hash"] = 50, [1, 2], [0, 2**64 - 1]
    assert near_pairs(facts).shape == (0, 2)
