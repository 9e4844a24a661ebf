import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.config import UserError
from benchmark.ledger import is_finished, load_ledger, read_record, run_folder, write_json, write_run
from benchmark.ledger.files import read_json
from benchmark.ledger.packing import pack_ledger
from tests.conftest import make_predictions, make_record, write_ledger


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "demo"
    records = [make_record("backbone", None, ["resnet18"], seed, 0.5 + seed / 10) for seed in (1, 0)]
    records.append(make_record("fusion", "late", ["resnet18", "vgg11"], 0, 0.75))
    write_ledger(path, records)
    return path


def test_reads_what_was_written(folder: Path) -> None:
    ledger = load_ledger(folder)
    assert [record.seed for record in ledger.of_kind("backbone")] == [0, 1]
    found = replace(ledger.of_kind("fusion")[0], digests={})
    assert found == make_record("fusion", "late", ["resnet18", "vgg11"], 0, 0.75)
    pd.testing.assert_frame_equal(ledger.predictions("late-resnet18-vgg11-0"), make_predictions())


def test_record_is_the_public_format(folder: Path) -> None:
    record = json.loads((run_folder(folder, "late-resnet18-vgg11-0") / "record.json").read_text())
    assert set(record) >= {
        "schema", "run_id", "kind", "method", "backbones", "seed", "dataset", "dataset_digest", "profile",
        "hyperparameters", "parents", "selected_epoch", "metrics", "parameters", "macs", "seconds", "device",
        "environment",
    }  # fmt: skip
    assert record["schema"] == 1
    assert set(record["metrics"]) == {"validation_selected", "last_epoch", "best_test_epoch"}
    assert set(record["metrics"]["last_epoch"]) == {"accuracy", "balanced_accuracy", "macro_f1", "nll", "ece"}
    columns = list(load_ledger(folder).predictions("late-resnet18-vgg11-0").columns)
    assert columns == ["image_id", "split", "label", *(f"logit_{c}" for c in range(7))]


def test_a_record_of_before_images_were_timed_has_no_time(folder: Path) -> None:
    path = run_folder(folder, "late-resnet18-vgg11-0") / "record.json"
    values = json.loads(path.read_text())
    del values["milliseconds"], values["seal"]
    path.write_text(json.dumps(values))
    assert read_record(folder, "late-resnet18-vgg11-0").milliseconds is None


def test_what_a_run_said_of_every_image(folder: Path) -> None:
    shown = load_ledger(folder).classified("late-resnet18-vgg11-0")
    frame = make_predictions()
    assert shown.image_ids.to_pylist() == frame["image_id"].tolist()
    assert shown.is_test.tolist() == [False, True, True, True]
    assert shown.predicted.tolist() == [6] * 4
    assert shown.is_right.tolist() == [label == 6 for label in frame["label"]]


def test_predictions_without_labels_are_refused_in_one_line(folder: Path) -> None:
    path = run_folder(folder, "late-resnet18-vgg11-0") / "predictions.parquet"
    make_predictions().drop(columns="label").to_parquet(path)
    with pytest.raises(UserError, match=r"run late-resnet18-vgg11-0 cannot be used .*label.*; run it again"):
        load_ledger(folder).classified("late-resnet18-vgg11-0")


def test_packed_ledger_reads_the_same(folder: Path, tmp_path: Path) -> None:
    ledger = load_ledger(folder)
    pack_ledger(ledger, tmp_path / "packed")
    packed = load_ledger(tmp_path / "packed")
    assert packed.records == ledger.records
    assert packed.experiment == {**ledger.experiment, "digest": packed.experiment["digest"]}
    for record in ledger.records:
        pd.testing.assert_frame_equal(packed.predictions(record.run_id), ledger.predictions(record.run_id))
    assert {path.name for path in (tmp_path / "packed").iterdir()} == {
        "experiment.json", "records.jsonl", "predictions.parquet", "history.csv",
    }  # fmt: skip


def test_a_run_without_record_is_not_finished(folder: Path) -> None:
    run_id = "late-resnet18-vgg11-0"
    assert is_finished(folder, run_id)
    (run_folder(folder, run_id) / "record.json").unlink()
    assert not is_finished(folder, run_id)
    assert not load_ledger(folder).of_kind("fusion")


def test_the_record_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = make_record("backbone", None, ["resnet18"], 0, 0.5)

    def full_disk(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_run(tmp_path, record, make_predictions(), pd.DataFrame({"epoch": [1]}))
    assert not is_finished(tmp_path, record.run_id)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run_id": 1}', "null"])
def test_damaged_record_is_named(folder: Path, text: str) -> None:
    path = run_folder(folder, "late-resnet18-vgg11-0") / "record.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"late-resnet18-vgg11-0.*is damaged") as caught:
        load_ledger(folder)
    assert "\n" not in str(caught.value)


def test_damaged_predictions_are_named(folder: Path) -> None:
    path = run_folder(folder, "late-resnet18-vgg11-0") / "predictions.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="late-resnet18-vgg11-0"):
        load_ledger(folder).predictions("late-resnet18-vgg11-0")


def test_missing_and_empty_experiments(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UserError, match="no experiment at"):
        load_ledger(tmp_path / "other")
    write_ledger(tmp_path / "empty", [])
    with pytest.raises(UserError, match="no finished run"):
        load_ledger(tmp_path / "empty")
    (folder / "experiment.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        load_ledger(folder)
    write_json(folder / "experiment.json", {"schema": 99})
    with pytest.raises(UserError, match="format 99"):
        load_ledger(folder)


def test_numbers_that_json_does_not_have_become_null(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": [float("nan"), 1.5], "b": {"c": float("inf")}, "d": "nan"})
    assert read_json(tmp_path / "x.json") == {"a": [None, 1.5], "b": {"c": None}, "d": "nan"}


def test_reading_needs_no_torch() -> None:
    code = "import sys, benchmark.ledger, benchmark.reporting.report, benchmark.cli; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_predictions_keep_float32(folder: Path) -> None:
    frame = load_ledger(folder).predictions("late-resnet18-vgg11-0")
    assert frame["logit_0"].dtype == np.float32
