"""A packed ledger reads as the one that it was packed from, and tells nothing of the machine that it ran on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmark.ledger import load_ledger, write_json
from benchmark.ledger.packing import public_command, publish, without_paths
from benchmark.reporting.report import write_report
from benchmark.statistics.metrics import all_metrics
from tests.conftest import make_predictions, make_record, write_ledger

GOLDEN = Path(__file__).parents[1] / "golden" / "ledger"
COMMAND = [sys.executable, "-c", "from benchmark.cli import main; main()"]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder with an experiment that was run on data of a private folder."""
    records = [make_record("backbone", None, [name], 0, 0.5) for name in ("resnet18", "vgg11")]
    records.append(make_record("fusion", "late", ["resnet18", "vgg11"], 0, 2 / 3))
    frame = make_predictions().query("split == 'test'")
    metrics = all_metrics(frame.filter(like="logit_").to_numpy(), frame["label"].to_numpy())
    records = [replace(record, metrics=dict.fromkeys(record.metrics, metrics)) for record in records]
    folder = tmp_path / "results" / "mine"
    write_ledger(folder, records, dataset="raf-db")
    known: dict[str, Any] = json.loads((folder / "experiment.json").read_text())
    known["settings"]["data"] = {"dataset": "raf-db", "root": "/home/me/private/basic"}
    known["command"] = "ferfuse reproduce --data-root /home/me/private/basic --results-dir /scratch/r --seeds 2"
    write_json(folder / "experiment.json", known)
    write_json(folder / "audit.json", {"findings": [{"run_id": "x", "verdict": "independent of the batch"}]})
    write_json(folder / "repetitions.json", {"repetitions": [{"run_id": "x", "verdict": "identical"}]})
    return tmp_path / "results"


def rename_data(folder: Path, dataset: str) -> None:
    known = json.loads((folder / "experiment.json").read_text())
    known["dataset"]["name"] = dataset
    write_json(folder / "experiment.json", known)


def ferfuse(*words: str | Path, status: int = 0) -> str:
    done = subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, env=os.environ)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_an_export_reads_the_same_under_its_new_name(results: Path) -> None:
    rename_data(results / "mine", "open-faces")
    first = load_ledger(results / "mine")
    said = ferfuse("export", "--experiment", "mine", "--name", "reference/ours", "--results-dir", results)
    assert "results/reference/ours" in said
    packed = load_ledger(results / "reference" / "ours")
    assert packed.name == "reference/ours"
    assert packed.records == first.records
    assert (packed.audit, packed.repetitions) == (first.audit, first.repetitions)
    for record in first.records:
        pd.testing.assert_frame_equal(packed.predictions(record.run_id), first.predictions(record.run_id))
        assert packed.history(record.run_id) == first.history(record.run_id) != []


def test_an_export_of_licensed_data_does_not_tell_which_image_has_which_label(results: Path) -> None:
    first = load_ledger(results / "mine")
    ferfuse("export", "--experiment", "mine", "--name", "reference/ours", "--results-dir", results)
    packed = load_ledger(results / "reference" / "ours")
    known = first.predictions(first.records[0].run_id)
    coded = {run.run_id: packed.predictions(run.run_id) for run in packed.records}
    codes = coded[packed.records[0].run_id]["image_id"]
    assert codes.is_monotonic_increasing
    assert codes.is_unique
    assert not set(codes) & set(known["image_id"])
    for run in first.records:  # images pair up as before, and have the scores and labels that they had
        told, own = coded[run.run_id], first.predictions(run.run_id)
        assert told["image_id"].tolist() == codes.tolist()
        columns = [name for name in own.columns if name != "image_id"]
        told, own = (frame[columns].sort_values(columns, ignore_index=True) for frame in (told, own))
        pd.testing.assert_frame_equal(told, own)
    assert "no fault" in ferfuse("verify", "--experiment", "reference/ours", "--results-dir", results)
    tables = [
        ferfuse("table", "2", "--experiment", name, "--results-dir", results, "--format", "csv")
        for name in ("mine", "reference/ours")
    ]
    assert tables[0] == tables[1]


def test_an_export_is_the_same_each_time_and_holds_no_private_path(results: Path) -> None:
    ledger = load_ledger(results / "mine")
    folders = [publish(ledger, results, name) for name in ("reference/ours", "reference/ours")]
    found = {path.name: path.read_bytes() for path in folders[0].iterdir()}
    publish(ledger, results, "reference/ours")
    assert found == {path.name: path.read_bytes() for path in folders[0].iterdir()}
    assert not [name for name, content in found.items() if b"/home" in content or b"/scratch" in content]
    experiment = load_ledger(folders[0]).experiment
    assert experiment["settings"]["data"]["root"] == "DATA_ROOT"
    assert experiment["command"] == "ferfuse reproduce --data-root DATA_ROOT --seeds 2"


def test_an_export_calls_the_data_what_it_is_told_and_changes_nothing_else(results: Path) -> None:
    rename_data(results / "mine", "open-faces")
    ledger = load_ledger(results / "mine")
    ferfuse("export", "--experiment", "mine", "--name", "plain", "--results-dir", results)
    ferfuse("export", "--experiment", "mine", "--name", "named", "--title", "our faces", "--results-dir", results)
    plain, named = (load_ledger(results / name).experiment for name in ("plain", "named"))
    assert plain["dataset"] == ledger.experiment["dataset"]
    assert named["dataset"] == {**plain["dataset"], "title": "our faces"}
    kept = {"dataset": None, "experiment": None, "digest": None}
    assert named | kept == plain | kept


def test_an_export_onto_itself_is_refused(results: Path) -> None:
    said = ferfuse("export", "--experiment", "mine", "--name", "mine", "--results-dir", results, status=2)
    assert said == "ferfuse: experiment 'mine' would be packed onto itself; give another --name\n"


@pytest.mark.parametrize(
    ("given", "public"),
    [
        ("ferfuse reproduce --seeds 2", "ferfuse reproduce --seeds 2"),
        ("ferfuse reproduce --data-root=/a/b --data-dir /c", "ferfuse reproduce --data-root DATA_ROOT"),
        ("ferfuse reproduce --set data.root=../faces.zip", "ferfuse reproduce --set data.root=DATA_ROOT"),
        ("ferfuse reproduce --plugin '/a/my own/m.py'", "ferfuse reproduce --plugin m.py"),
        ("ferfuse reproduce --plugin /a/own/m.py", "ferfuse reproduce --plugin m.py"),
        ("ferfuse reproduce --profile ~/p/small.yaml", "ferfuse reproduce --profile small.yaml"),
        (
            "ferfuse reproduce --set 'weights={timm/x: /home/me/x.pth, resnet18: /data/r.pth, default: none}'",
            "ferfuse reproduce --set 'weights={timm/x: x.pth, resnet18: r.pth, default: none}'",
        ),
    ],
)
def test_commands_are_told_without_folders(given: str, public: str) -> None:
    assert public_command(given) == public


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/me/basic", "basic"),
        ("read from /home/me/basic/ today", "read from basic today"),
        (r"C:\Users\me\basic", "basic"),
        ("/data", "data"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("muxspace/facial_expressions, and/or ~5 of (a)/b", "muxspace/facial_expressions, and/or ~5 of (a)/b"),
    ],
)
def test_paths_are_cut_to_their_last_name(text: str, shown: str) -> None:
    assert without_paths({"a": [text, 1]}) == {"a": [shown, 1]}


@pytest.mark.parametrize("dataset", ["open-faces", "raf-db"])
def test_an_export_of_test_predictions_alone_leaves_those_of_networks_and_every_table(
    results: Path, dataset: str
) -> None:
    rename_data(results / "mine", dataset)
    whole = ("export", "--experiment", "mine", "--results-dir", results)
    ferfuse(*whole, "--name", "all")
    ferfuse(*whole, "--name", "tested", "--test-only")
    full, tested = (load_ledger(results / name) for name in ("all", "tested"))
    for record in full.records:
        rows, kept = full.predictions(record.run_id), tested.predictions(record.run_id)
        assert set(rows["split"]) == {"validation", "test"}
        expected = rows if record.kind == "backbone" else rows.query("split == 'test'").reset_index(drop=True)
        pd.testing.assert_frame_equal(kept, expected)
    assert "no fault" in ferfuse("verify", "--experiment", "tested", "--results-dir", results)
    for number in ("1", "2"):
        tables = [
            ferfuse("table", number, "--experiment", name, "--results-dir", results, "--format", "csv")
            for name in ("all", "tested")
        ]
        assert tables[0] == tables[1]


def test_verdicts_and_tables_are_the_same_without_validation_predictions_of_fusion_runs(tmp_path: Path) -> None:
    found = []
    for test_only in (False, True):
        folder = tmp_path / str(test_only)
        ledger = load_ledger(publish(load_ledger(GOLDEN), folder / "results", "golden", test_only=test_only))
        write_report(ledger, folder / "reports")
        texts = {path.name: path.read_text() for path in sorted((folder / "reports" / "golden").glob("table*.*"))}
        verdicts = json.loads((folder / "reports" / "golden" / "significance.json").read_text())
        found.append(
            (texts, {name: value for name, value in verdicts.items() if name not in ("ledger_digest", "seal")})
        )
    assert found[0] == found[1]
    assert len(found[0][0]) > 10
