"""A ledger is read whole or refused in one line that names the run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from benchmark import cli
from benchmark.analysis.evidence import Evidence, read_evidence
from benchmark.config import UserError
from benchmark.ledger import Ledger, Record, load_ledger, run_folder
from benchmark.reporting.report import make_table, write_report
from tests.reporting.drawn import Rule, draw_runs, write_files, write_packed

SMALL = Rule(methods=("late", "early"), backbones=("resnet18", "vgg11", "vgg13"), seeds=2, images=60)
BAD = "early-resnet18-vgg13-1"
Runs = list[tuple[Record, pa.Table]]


def with_column(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values, table.column(name).type))


def changed(table: pa.Table, name: str, row: int, value: Any) -> pa.Table:
    values = table.column(name).to_pylist()
    values[row] = value
    return with_column(table, name, values)


def spoil(runs: Runs, how: Callable[[Record, pa.Table], tuple[Record, pa.Table]]) -> Runs:
    return [how(record, table) if record.run_id == BAD else (record, table) for record, table in runs]


def setting(record: Record, **values: Any) -> Record:
    return replace(record, hyperparameters={**record.hyperparameters, **values})


def wrong_metrics(record: Record) -> Record:
    values = record.metrics["validation_selected"]
    metrics = {**record.metrics, "validation_selected": {**values, "accuracy": values["accuracy"] - 1 / 60}}
    return replace(record, metrics=metrics)


FAULTS = {
    "duplicate image id": (lambda r, t: (r, changed(t, "image_id", 310, "test_0000.jpg")), "occur twice"),
    "label differs": (lambda r, t: (r, changed(t, "label", 310, 9)), "labels test_0010.jpg 9"),
    "missing image": (lambda r, t: (r, t.slice(0, len(t) - 1)), "59 of 60 test images"),
    "another image": (lambda r, t: (r, changed(t, "image_id", 310, "x.jpg")), "such as test_0010.jpg"),
    "another validation image": (lambda r, t: (r, changed(t, "image_id", 3, "x.jpg")), "validation images are not"),
    "nan": (lambda r, t: (r, changed(t, "logit_2", 310, float("nan"))), "1 images have logits that are no number"),
    "infinite": (lambda r, t: (r, changed(t, "logit_2", 5, float("inf"))), "no number"),
    "empty cell": (lambda r, t: (r, changed(t, "label", 310, None)), "empty cells"),
    "no such column": (lambda r, t: (r, t.drop_columns("logit_6")), "logit_6 is missing"),
    "other metrics": (lambda r, t: (wrong_metrics(r), t), "its record says"),
    "no metric": (
        lambda r, t: (replace(r, metrics={"validation_selected": {"accuracy": None}}), t),
        "validation_selected needs an accuracy",
    ),
    "other data": (lambda r, t: (replace(r, dataset_digest="e" * 32), t), "other data"),
    "other settings": (lambda r, t: (setting(r, epochs=9), t), "different settings (epochs)"),
    "other image size": (lambda r, t: (setting(r, image_size=64), t), "different settings (image_size)"),
    "setting beside": (lambda r, t: (setting(r, width=64), t), "different settings (width)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_run_is_named_in_one_line(fault: str, tmp_path: Path) -> None:
    how, words = FAULTS[fault]
    runs = spoil(list(draw_runs(SMALL)), how)
    with pytest.raises(UserError, match=BAD) as caught:
        read_evidence(load_ledger(write_files(tmp_path / "bad", SMALL, runs)))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", [0, -1])
def test_tuning_may_give_a_method_an_optimisation_of_its_own_and_no_other(place: int, tmp_path: Path) -> None:
    """Be the tuned method's runs the first of their stage or the last."""
    tuned = SMALL.methods[place]
    runs = [
        (setting(record, learning_rate=9e-4, weight_decay=0.1) if record.method == tuned else record, table)
        for record, table in draw_runs(SMALL)
    ]
    folder = write_files(tmp_path / "tuned", SMALL, runs)
    with pytest.raises(UserError, match=r"different settings \(learning_rate\)"):
        read_evidence(load_ledger(folder))

    def evidence_where(stage: dict[str, float]) -> Evidence:
        ledger = load_ledger(folder)
        values = {tuned: {"settings": {}, "stage": stage}}
        experiment = {**ledger.experiment, "settings": {**ledger.experiment["settings"], "tuned": values}}
        return read_evidence(replace(ledger, experiment=experiment))

    assert tuned in evidence_where({"learning_rate": 9e-4, "weight_decay": 0.1}).methods
    with pytest.raises(UserError, match=r"different settings \(weight_decay\)"):
        evidence_where({"learning_rate": 9e-4})


def test_truncated_predictions(tmp_path: Path) -> None:
    files = write_files(tmp_path / "files", SMALL)
    path = run_folder(files, BAD) / "predictions.parquet"
    path.write_bytes(path.read_bytes()[:-200])
    packed = write_packed(tmp_path / "packed", SMALL)
    path = packed / "predictions.parquet"
    path.write_bytes(path.read_bytes()[:-200])
    for folder, run in ((files, BAD), (packed, "backbone-resnet18-0")):
        with pytest.raises(UserError, match=f"predictions of run {run} cannot be read") as caught:
            read_evidence(load_ledger(folder))
        assert "\n" not in str(caught.value)


def test_a_run_that_a_packed_ledger_lacks(tmp_path: Path) -> None:
    runs = list(draw_runs(SMALL))
    folder = write_packed(tmp_path / "packed", SMALL, runs)
    whole = (folder / "records.jsonl").read_text()
    write_packed(tmp_path / "less", SMALL, [run for run in runs if run[0].run_id != BAD])
    (tmp_path / "less" / "records.jsonl").write_text(whole)
    with pytest.raises(UserError, match=f"run {BAD} cannot be read"):
        read_evidence(load_ledger(tmp_path / "less"))


def test_missing_cells_are_listed(tmp_path: Path) -> None:
    lost = {BAD, "late-resnet18-vgg11-0", "late-resnet18-vgg13-0", "late-vgg11-vgg13-0", "backbone-vgg13-1"}
    runs = [run for run in draw_runs(SMALL) if run[0].run_id not in lost]
    with pytest.raises(UserError) as caught:
        read_evidence(load_ledger(write_files(tmp_path / "bad", SMALL, runs)))
    text = str(caught.value)
    assert text.startswith("5 of 18 runs are missing")
    for words in ("backbone vgg13, seed 1", "late everywhere, seed 0", "early resnet18+vgg13, seed 1"):
        assert words in text
    assert "\n" not in text


def test_a_seed_that_was_planned_and_never_run_is_missing(tmp_path: Path) -> None:
    folder = write_packed(tmp_path / "bad", replace(SMALL, seeds=3), list(draw_runs(SMALL)))
    with pytest.raises(UserError, match=r"9 of 27 runs are missing.*late everywhere, seed 2"):
        read_evidence(load_ledger(folder))


def test_two_runs_of_one_cell(tmp_path: Path) -> None:
    runs = list(draw_runs(SMALL))
    twin = next((replace(record, run_id="twin"), table) for record, table in runs if record.run_id == BAD)
    with pytest.raises(UserError, match=f"seed 1 has two runs, {BAD} and twin|two runs, twin and {BAD}"):
        read_evidence(load_ledger(write_files(tmp_path / "bad", SMALL, [*runs, twin])))


def test_the_command_ends_with_status_2_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = spoil(list(draw_runs(SMALL)), FAULTS["nan"][0])
    folder = write_files(tmp_path / "bad", SMALL, runs)
    words = ["ferfuse", "report", "--ledger", str(folder), "--reports-dir", str(tmp_path / "reports")]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert BAD in error
    assert not (tmp_path / "reports").exists()


def test_both_forms_give_the_same_and_rows_do_not_matter(tmp_path: Path) -> None:
    runs = list(draw_runs(SMALL))
    shuffled = [(record, table.take(np.random.default_rng(i).permutation(len(table)))) for i, (record, table) in
                enumerate(runs)]  # fmt: skip
    folders = [
        write_files(tmp_path / "files", SMALL, runs),
        write_packed(tmp_path / "packed", SMALL, runs),
        write_packed(tmp_path / "shuffled", SMALL, shuffled[::-1]),
    ]
    plain, *others = [read_evidence(load_ledger(folder)) for folder in folders]
    for other in others:
        for method in plain.methods:
            np.testing.assert_array_equal(other.correct(method), plain.correct(method))
        np.testing.assert_array_equal(other.best_single(), plain.best_single())


def test_a_packed_ledger_whose_runs_are_interleaved(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    folder = write_packed(tmp_path / "packed", SMALL)
    before = read_evidence(load_ledger(folder))
    table = pq.read_table(folder / "predictions.parquet")
    order = np.random.default_rng(0).permutation(len(table))
    pq.write_table(table.take(order), folder / "predictions.parquet")
    after = read_evidence(load_ledger(folder))
    np.testing.assert_array_equal(after.correct("early"), before.correct("early"))


def test_arrays_hold_what_the_records_say(tmp_path: Path) -> None:
    ledger = load_ledger(write_packed(tmp_path / "packed", SMALL))
    evidence = read_evidence(ledger)
    assert evidence.methods == ["late", "early"]
    assert evidence.seeds == [0, 1]
    right = evidence.correct("early")
    assert right.shape == (2, 3, 60)
    by_name = {record.run_id: record for record in ledger.records}
    for s in range(2):
        for p, pair in enumerate(evidence.groups):
            stated = by_name["-".join(["early", *pair, str(s)])].metrics["validation_selected"]["accuracy"]
            assert right[s, p].mean() == pytest.approx(stated)
            assert evidence.metric("early")[p, s] == pytest.approx(100 * stated)


def test_the_best_single_network_is_chosen_on_validation(tmp_path: Path) -> None:
    evidence = read_evidence(load_ledger(write_packed(tmp_path / "packed", SMALL)))
    ledger = evidence.ledger
    for p, pair in enumerate(evidence.groups):
        scores: dict[str, list[tuple[float, np.ndarray]]] = {name: [] for name in pair}
        for s in evidence.seeds:
            for name in pair:
                frame = ledger.predictions(f"backbone-{name}-{s}").sort_values("image_id")
                right = frame.filter(like="logit_").to_numpy().argmax(1) == frame["label"].to_numpy()
                is_test = (frame["split"] == "test").to_numpy()
                scores[name].append((right[~is_test].mean(), right[is_test]))
        best = max(pair, key=lambda name: np.mean([validation for validation, _ in scores[name]]))
        for s in evidence.seeds:
            np.testing.assert_array_equal(evidence.best_single()[s, p], scores[best][s][1])


def test_a_reading_that_was_begun_and_not_finished_is_left_out_and_a_control_is_no_reading(tmp_path: Path) -> None:
    reading, control = "attention-fusion:axis=token", "early:partner=shuffled"
    rule = replace(SMALL, methods=("late", "early", reading, control))
    runs = list(draw_runs(rule))
    begun = [run for run in runs if run[0].method != control or run[0].seed == 0]
    assert read_evidence(load_ledger(write_packed(tmp_path / "control", rule, begun))).readings == [reading]
    begun = [run for run in runs if run[0].method != reading or run[0].seed == 0]
    evidence = read_evidence(load_ledger(write_packed(tmp_path / "reading", rule, begun)))
    assert (evidence.readings, evidence.missing) == ([], {reading: (3, 6)})


def test_a_report_reads_the_predictions_of_a_run_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [(replace(r, parents=parents(r)), t) for r, t in draw_runs(SMALL)]
    ledger = load_ledger(write_files(tmp_path / "files", SMALL, runs))
    read: list[str] = []
    whole = Ledger._read_predictions

    def counted(self: Ledger, run_id: str) -> pa.Table:
        read.append(run_id)
        return whole(self, run_id)

    monkeypatch.setattr(Ledger, "_read_predictions", counted)
    write_report(ledger, tmp_path)
    assert make_table(4, ledger).rows
    assert sorted(read) == sorted(record.run_id for record in ledger.records)


def parents(record: Record) -> list[str]:
    return [f"backbone-{name}-{record.seed}" for name in record.backbones] if record.method else []
