"""What trained runs say of other faces: of their own test faces, in another order, they say what the ledger holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.analysis.transfer import _bits, abroad
from benchmark.audit.transfer import (
    Faces,
    Transferred,
    open_faces,
    summarise_transfers,
    transfer_experiment,
    write_transfers,
)
from benchmark.config import UserError, load_config
from benchmark.data.manifest import Manifest
from benchmark.data.sources import find_dataset
from benchmark.engine.experiment import run_experiment
from benchmark.engine.outcomes import Request
from benchmark.ledger import Ledger, load_ledger
from benchmark.reporting.report import available_tables, make_table
from tests.engine.tiny import NARROW, TINY, Collect

ASKED = {"method": "joint", "against": ["early"]}
METHODS = [
    "early",
    "attention-fusion:axis=spatial",
    "joint",
    "stacked-late",
    "attention-fusion:axis=batch",
    "early:partner=shuffled",
]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Request:
    """Methods on frozen networks, on networks of folds, end to end, and two that are about more than one image."""
    folder = tmp_path_factory.mktemp("transfer")
    settings = load_config("demo", {**TINY, "backbones": NARROW, "methods": METHODS, "seeds": 2, "questions": [ASKED]})
    request = Request(settings, "tiny", folder / "results", folder / "data", device="cpu", workers=1)
    run_experiment(request, Collect())
    return request


@pytest.fixture
def ledger(asked: Request) -> Ledger:
    return load_ledger(asked.folder)


@pytest.fixture(scope="module")
def own(asked: Request) -> Manifest:
    return find_dataset(asked.settings.data, asked.data_dir)


def backwards(own: Manifest) -> Manifest:
    """The same faces in another order, which makes another data set of them."""
    return replace(own.take(np.arange(len(own))[::-1]), title="faces elsewhere", dataset="elsewhere")


def transferred(ledger: Ledger, faces: Faces) -> list[Transferred]:
    return transfer_experiment(ledger, None, (), faces, "cpu")


def test_of_its_own_faces_every_run_says_what_the_ledger_holds(asked: Request, ledger: Ledger, own: Manifest) -> None:
    faces = open_faces(ledger, backwards(own), asked.data_dir)
    found = transferred(ledger, faces)
    assert {one.method for one in found} == {None, "early", "joint", "stacked-late", "attention-fusion:axis=spatial"}
    for one in found:
        said = ledger.classified(one.run_id)
        assert one.n_images == said.is_test.sum() == len(own.labels[own.is_test])
        assert (_bits(vars(one)) == said.is_right[said.is_test][::-1]).mean() > 0.98, one.method  # ties of rounding
        assert one.accuracy == pytest.approx(said.is_right[said.is_test].mean(), abs=0.02)


def test_classes_that_one_of_both_lacks_are_left_out(asked: Request, ledger: Ledger, own: Manifest) -> None:
    names = tuple("contempt" if name == "fear" else name for name in own.classes)
    faces = open_faces(ledger, replace(backwards(own), classes=names), asked.data_dir)
    assert "fear" not in faces.classes
    assert len(faces.labels) == (own.is_test & (own.labels != own.classes.index("fear"))).sum()
    run = ledger.of_kind("backbone")[0]
    one = next(one for one in transferred(ledger, faces) if one.run_id == run.run_id)
    scores = ledger.predictions(run.run_id)
    scores = scores[(scores["split"] == "test") & (scores["label"] != own.classes.index("fear"))]
    without = scores.filter(like="logit_").drop(columns=f"logit_{own.classes.index('fear')}").to_numpy()
    kept = [name for name in own.classes if name != "fear"]
    right = [kept[best] == own.classes[label] for best, label in zip(without.argmax(1), scores["label"], strict=True)]
    assert one.accuracy == pytest.approx(np.mean(right), abs=0.02)


def test_the_own_data_set_and_one_without_common_classes_are_refused(
    asked: Request, ledger: Ledger, own: Manifest
) -> None:
    with pytest.raises(UserError, match=r"was trained on .*; give another data set by --dataset and --data-root"):
        open_faces(ledger, own, asked.data_dir)
    with pytest.raises(UserError, match="earlier"):
        transfer_experiment(ledger, ["earlier"], (), open_faces(ledger, backwards(own), asked.data_dir), "cpu")
    strange = replace(backwards(own), classes=tuple(f"class {number}" for number in range(7)))
    with pytest.raises(UserError, match="0 class names in common"):
        open_faces(ledger, strange, asked.data_dir)


def test_table_7_sets_the_asked_method_against_the_others(asked: Request, ledger: Ledger, own: Manifest) -> None:
    with pytest.raises(UserError, match="was not asked about other data; `ferfuse transfer"):
        make_table(7, ledger)
    found = transferred(ledger, open_faces(ledger, backwards(own), asked.data_dir))
    write_transfers(asked.folder, found)
    write_transfers(asked.folder, found[:1])  # asked again: nothing is there twice
    again = load_ledger(asked.folder)
    assert len(again.transfers) == len(found)
    assert 7 in available_tables(again)
    lines = {line.name: line for line in abroad(again)}
    rows = {row["method"]: row["accuracy"] for row in summarise_transfers(found)}
    for name in ("early", "joint", "stacked-late"):
        own_runs = [one.accuracy for one in found if one.method == name]
        assert np.mean(lines[name].away) == pytest.approx(100 * np.mean(own_runs))
        assert rows[name] == pytest.approx(np.mean(lines[name].away))
    assert lines["joint"].ahead is None
    for name in ("early", "stacked-late", "attention-fusion:axis=spatial"):
        ahead = lines[name].ahead
        assert ahead is not None
        assert ahead.all_seeds == pytest.approx(np.mean(lines["joint"].away) - np.mean(lines[name].away))
        assert ahead.family_size == 3
    shown = [row[1].text for row in make_table(7, again).rows]
    assert len(shown) == len(lines) == 6


def test_runs_whose_weights_are_gone_are_told(
    asked: Request, own: Manifest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    published = load_ledger(asked.folder)
    faces = open_faces(published, backwards(own), asked.data_dir)
    joint = next(record for record in published.of_kind("fusion") if record.method == "joint")
    weights = asked.folder / "artifacts" / joint.run_id / "end_to_end.safetensors"
    aside = weights.rename(tmp_path / weights.name)
    try:
        found = transferred(published, faces)
    finally:
        aside.rename(weights)
    assert joint.run_id not in {one.run_id for one in found}
    assert "1 of 12 runs are not asked, as their weights are not here" in caplog.text
