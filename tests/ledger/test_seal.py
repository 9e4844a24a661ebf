"""A ledger that cannot lie: what is changed by hand is named, wherever it stands, and nothing ends in a traceback."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.analysis.verify import verify_ledger
from benchmark.config import UserError
from benchmark.ledger import Ledger, load_ledger, run_folder, write_json
from benchmark.ledger.files import digest_of, read_json
from benchmark.ledger.packing import merge_ledgers, publish
from benchmark.reporting.formats import render
from benchmark.reporting.report import available_tables, current_verdicts, make_table, refresh_verdicts
from benchmark.statistics.metrics import all_metrics
from tests.conftest import make_predictions, make_record, write_ledger

RUN = "late-resnet18-vgg11-0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small ledger whose records say what its predictions give."""
    frame = make_predictions().query("split == 'test'")
    metrics = all_metrics(frame.filter(like="logit_").to_numpy(), frame["label"].to_numpy())
    records = [make_record("backbone", None, [name], seed, 0) for name in ("resnet18", "vgg11") for seed in (0, 1)]
    pair = ["resnet18", "vgg11"]
    records += [make_record("fusion", name, pair, seed, 0) for name in ("late", "early") for seed in (0, 1)]
    path = tmp_path / "results" / "mine"
    full = [replace(record, metrics=dict.fromkeys(record.metrics, metrics)) for record in records]
    write_ledger(path, full, test_images=7 + 1)
    known = read_json(path / "experiment.json")
    write_json(path / "experiment.json", {**known, "dataset": {**known["dataset"], "images": {"test": [3]}}})
    write_json(path / "audit.json", {"findings": []})
    return path


def edit(path: Path, change: Callable[[dict[str, Any]], None], *, reseal: bool = False) -> None:
    values = json.loads(path.read_text())
    change(values)
    if reseal:
        write_json(path, values)
    else:
        path.write_text(json.dumps(values))


def without_seal(values: dict[str, Any]) -> None:
    for name in ("seal", "digests"):
        values.pop(name, None)


def record_of(folder: Path) -> Path:
    return run_folder(folder, RUN) / "record.json"


CHANGES: dict[str, Callable[[dict[str, Any]], None]] = {
    "accuracy": lambda one: one["metrics"]["validation_selected"].update(accuracy=0.99),
    "macro F1": lambda one: one["metrics"]["validation_selected"].update(macro_f1=0.99),
    "calibration error": lambda one: one["metrics"]["validation_selected"].update(ece=0.0),
    "last epoch": lambda one: one["metrics"]["last_epoch"].update(accuracy=0.99),
    "seed": lambda one: one.update(seed=7),
    "method": lambda one: one.update(method="early"),
    "run id": lambda one: one.update(run_id="another"),
    "digests": lambda one: one.update(digests={}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_record_is_named(folder: Path, what: str) -> None:
    edit(record_of(folder), CHANGES[what])
    with pytest.raises(UserError, match=rf"{RUN}.record.json was changed after it was written \(its seal is broken\)"):
        load_ledger(folder)


def test_a_sound_ledger_has_no_faults(folder: Path, tmp_path: Path) -> None:
    assert verify_ledger(folder) == (8, [])
    packed = publish(load_ledger(folder), tmp_path / "results", "packed")
    assert verify_ledger(packed) == (8, [])


@pytest.mark.parametrize(
    ("what", "words"),
    [("accuracy", "its record says accuracy 0.99"), ("macro F1", "macro_f1 0.99"), ("calibration error", "ece 0")],
)
def test_a_changed_record_with_a_new_seal_does_not_agree_with_its_predictions(
    folder: Path, what: str, words: str
) -> None:
    edit(record_of(folder), CHANGES[what], reseal=True)
    _, faults = verify_ledger(folder)
    assert len(faults) == 1
    assert words in faults[0]
    assert RUN in faults[0]


def test_other_predictions_are_not_those_that_the_run_left(folder: Path) -> None:
    path = run_folder(folder, RUN) / "predictions.parquet"
    frame = make_predictions()
    frame["logit_0"] += np.float32(10)
    frame.to_parquet(path, index=False)
    with pytest.raises(UserError, match=rf"predictions of run {RUN} cannot be read .*not those that the run left"):
        load_ledger(folder).predictions(RUN)
    assert "not those that the run left" in verify_ledger(folder)[1][0]


def test_a_changed_history_is_not_what_the_run_left(folder: Path) -> None:
    path = run_folder(folder, RUN) / "history.csv"
    path.write_text(path.read_text().replace("0.5", "0.6"))
    with pytest.raises(UserError, match=f"the history of run {RUN} is not what the run left"):
        load_ledger(folder).history(RUN)
    assert len(verify_ledger(folder)[1]) == 1


def test_labels_that_differ_between_runs_are_named(folder: Path) -> None:
    frame = make_predictions()
    frame.loc[2, "label"] = 5
    path = run_folder(folder, RUN)
    frame.to_parquet(path / "predictions.parquet", index=False)
    edit(path / "record.json", lambda one: one.update(digests={}), reseal=True)
    assert any("labels image test_0002.jpg" in fault for fault in verify_ledger(folder)[1])


def test_a_ledger_of_before_seals_is_read_and_told(folder: Path) -> None:
    for path in folder.rglob("*.json"):
        edit(path, without_seal)
    runs, faults = verify_ledger(folder)
    assert runs == 8
    assert len(faults) == 1
    assert "8 of 8 runs have no seal" in faults[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one: one.pop("seed"), "field 'seed' is missing"),
        (lambda one: one.update(seed="0"), "field 'seed'"),
        (lambda one: one.update(metrics=None), "field 'metrics'"),
        (lambda one: one.update(metrics={}), "validation_selected needs an accuracy"),
        (lambda one: one["metrics"]["last_epoch"].update(accuracy=None), "last_epoch needs an accuracy"),
        (lambda one: one.update(method=None), "a fusion run names its method"),
        (lambda one: one.update(kind="other"), "field 'kind'"),
    ],
)
def test_a_record_that_another_tool_wrote_wrongly_is_named(
    folder: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    edit(record_of(folder), without_seal)
    edit(record_of(folder), change)
    with pytest.raises(UserError) as fault:
        load_ledger(folder)
    assert words in str(fault.value)
    assert RUN in str(fault.value)


def test_a_record_that_another_tool_wrote_needs_little(folder: Path) -> None:
    needed = {"run_id", "kind", "method", "backbones", "seed", "dataset", "dataset_digest", "metrics"}
    needed |= {"hyperparameters"}
    for path in folder.glob("runs/*/record.json"):
        values = json.loads(path.read_text())
        path.write_text(json.dumps({"more": 1, **{name: values[name] for name in sorted(needed)}}))
    ledger = load_ledger(folder)
    assert ledger.of_kind("fusion")[0].titles == {"backbones": ["resnet18", "vgg11"], "method": "early"}
    assert render(make_table(2, ledger), "markdown").count("early") == 1


@pytest.mark.parametrize("name", ["main", "settings", "dataset"])
def test_an_experiment_that_lacks_a_part_is_named(folder: Path, name: str) -> None:
    edit(folder / "experiment.json", lambda one: one.pop(name), reseal=True)
    with pytest.raises(UserError, match=f"experiment.json is damaged \\('{name}' is missing\\)"):
        load_ledger(folder)


def test_changed_verdicts_are_not_shown_and_are_made_again(folder: Path, tmp_path: Path) -> None:
    ledger, reports = load_ledger(folder), tmp_path / "reports"
    answer = refresh_verdicts(ledger, reports)
    edit(reports / "mine" / "significance.json", lambda one: one.update(answer="better"))
    with pytest.raises(UserError, match="its seal is broken"):
        current_verdicts(ledger, reports)
    assert refresh_verdicts(ledger, reports) == answer


def said(folder: Path) -> str:
    """All that is read of a ledger, or the one line that says why not."""
    try:
        return everything(folder)
    except UserError as error:
        return str(error)


def everything(folder: Path) -> str:
    """All tables of a ledger, its histories, and what verify says, on several lines."""
    ledger = load_ledger(folder)
    tables = [render(make_table(number, ledger), "json") for number in available_tables(ledger)]
    histories = [ledger.history(record.run_id) for record in ledger.records]
    return json.dumps([tables, histories, sorted(ledger.experiment), verify_ledger(folder)[1]], indent=1)


@pytest.mark.parametrize("form", ["folders", "packed"])
@pytest.mark.parametrize("tries", [60, pytest.param(500, marks=pytest.mark.slow)])
def test_no_flipped_byte_and_no_cut_gives_another_number(folder: Path, tmp_path: Path, form: str, tries: int) -> None:
    source = folder if form == "folders" else publish(load_ledger(folder), tmp_path / "results", "packed")
    expected = everything(source)
    files = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
    generator, told = random.Random(7), 0
    for number in range(tries):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(source, copy)
        path = copy / generator.choice(files)
        data = bytearray(path.read_bytes())
        place = generator.randrange(len(data))
        if number % 3:
            data[place] ^= 1 << generator.randrange(8)
        else:
            del data[place:]
        path.write_bytes(bytes(data))
        found = said(copy)
        assert found == expected or "\n" not in found, path
        told += found != expected
    assert told > tries / 2


def halves(folder: Path) -> tuple[Ledger, Ledger]:
    """The runs of seed 0 and of seed 1 as ledgers of their own."""
    found = []
    for seed in (0, 1):
        half = folder.with_name(f"half{seed}")
        shutil.copytree(folder, half)
        for path in half.glob(f"runs/*-{1 - seed}"):
            shutil.rmtree(path)
        values = read_json(half / "experiment.json")
        write_json(half / "experiment.json", {**values, "experiment": half.name})
        found.append(load_ledger(half))
    return found[0], found[1]


def test_merged_halves_are_the_whole(folder: Path, tmp_path: Path) -> None:
    whole, (first, second) = load_ledger(folder), halves(folder)
    packed = load_ledger(publish(second, tmp_path / "results", "packed"))
    target = merge_ledgers([first, packed], tmp_path / "results", "all")
    merged = load_ledger(target)
    assert merged.records == whole.records
    assert merged.name == "all"
    assert verify_ledger(target) == (8, [])
    for number in (1, 2, 5):
        assert make_table(number, merged).rows == make_table(number, whole).rows


def test_ledgers_of_two_experiments_are_not_merged(folder: Path, tmp_path: Path) -> None:
    first, second = halves(folder)
    for what, changed in (
        ("data", {"dataset": {**second.experiment["dataset"], "digest": "other"}}),
        ("settings", {"context": "other"}),
        ("statistics", {"settings": {**second.experiment["settings"], "statistics": {"looks": [9]}}}),
    ):
        other = replace(second, experiment={**second.experiment, **changed})
        with pytest.raises(UserError, match=f"different {what}"):
            merge_ledgers([first, other], tmp_path / "results", "all")
    with pytest.raises(UserError, match="is there already"):
        merge_ledgers([first, second], tmp_path / "results", "mine")


def test_the_digest_is_that_of_the_content() -> None:
    assert digest_of({"a": 1, "b": [float("nan")]}) == digest_of({"b": [None], "a": 1}) != digest_of({"a": 1, "b": []})
