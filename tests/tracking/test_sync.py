"""The mirror in MLflow against a ledger made by hand: everything once, and nothing twice."""

from __future__ import annotations

import json
import resource
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from benchmark.config import UserError
from benchmark.ledger import Ledger, load_ledger, write_json, write_run, write_text
from benchmark.tracking.content import NOTE, summary_metrics
from benchmark.tracking.live import LiveMirror, MirrorOptions
from benchmark.tracking.store import Mirror, only_writer
from benchmark.tracking.sync import Counts, count_runs, results_address, synchronise
from benchmark.tracking.views import view_tags
from tests.conftest import make_predictions, make_record, write_ledger

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own use of SQLAlchemy
HISTORY = pd.DataFrame(
    {"epoch": [1, 2], "train_loss": [1.0, 0.5], "validation_accuracy": [0.25, 0.75], "validation_loss": [1.5, 1.25]}
)


def records() -> list[Any]:
    backbones = [make_record("backbone", None, [name], 3, 0.5) for name in ("resnet18", "vgg13")]
    fused = make_record("fusion", "attention-fusion", ["resnet18", "vgg13"], 3, 0.6)
    settings = {"epochs": 2, "validation_fraction": 0.2, "method": "attention-fusion", "augmentation": {"flip": 0.5}}
    made = [*backbones, replace(fused, parents=[b.run_id for b in backbones], hyperparameters=settings)]
    return [replace(record, milliseconds=2.5) for record in made]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    folder = tmp_path_factory.mktemp("ledger") / "made"
    write_ledger(folder, records())
    for record in records():
        write_run(folder, record, make_predictions(), HISTORY)
    return load_ledger(folder)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_text(folder / "significance.json", '{"answer": "Nothing is better."}')
    write_text(folder / "table1.md", "| Model | 50.00 |")
    write_text(folder / "table2.md", "x" * 9000)
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, ledger: Ledger, report: Path) -> Iterator[str]:
    """A store that the ledger was synchronised to."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("store")
    patch.chdir(folder)
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    assert synchronise(ledger.root, report) == Counts(held=3, runs=3, written=3)
    yield f"sqlite:///{folder / 'mlflow.db'}"
    patch.undo()


@pytest.fixture
def runs(store: str) -> dict[str, Run]:
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("ferfuse demo synthetic")
    found = client.search_runs([experiment.experiment_id])
    return {run.data.tags["ferfuse.run_id"]: run for run in found}


def test_every_run_is_there_under_a_name_for_people(runs: dict[str, Run], ledger: Ledger) -> None:
    assert set(runs) == {"parent", *(record.run_id for record in ledger.records)}
    assert {run.info.run_name for run in runs.values()} == {
        "made", "resnet18 · seed 3", "vgg13 · seed 3", "attention-fusion · resnet18+vgg13 · seed 3",
    }  # fmt: skip
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    parent = runs["parent"].info.run_id
    assert {run.data.tags.get("mlflow.parentRunId") for key, run in runs.items() if key != "parent"} == {parent}


def test_a_run_tells_settings_metrics_and_time(runs: dict[str, Run], store: str) -> None:
    run = runs["attention-fusion-resnet18-vgg13-3"]
    assert run.data.params == {
        "method": "attention-fusion", "backbones": "resnet18+vgg13", "seed": "3", "selected_epoch": "2",
        "epochs": "2", "validation_fraction": "0.2", "augmentation.flip": "0.5",
    }  # fmt: skip
    metrics = run.data.metrics
    assert metrics["test/accuracy"] == 0.6
    assert metrics["validation/accuracy"] == 0.75
    assert metrics["cost/images_per_second"] == pytest.approx(70 * 0.8 * 2 / 1.5)
    assert run.info.end_time - run.info.start_time == 1500
    curve = MlflowClient(store).get_metric_history(run.info.run_id, "epoch/train_loss")
    assert [(point.step, point.value) for point in curve] == [(1, 1.0), (2, 0.5)]


def test_a_run_names_its_data_and_links_to_where_it_starts_from(runs: dict[str, Run]) -> None:
    run = runs["attention-fusion-resnet18-vgg13-3"]
    assert [(d.dataset.name, d.tags[0].value) for d in run.inputs.dataset_inputs] == [
        ("synthetic faces, train", "training"), ("synthetic faces, test", "testing"),
    ]  # fmt: skip
    for key in ("backbone-resnet18-3", "backbone-vgg13-3"):
        assert f"/runs/{runs[key].info.run_id})" in run.data.tags["mlflow.note.content"]
    assert run.data.tags["ferfuse.synthetic"] == "true"


def test_files_of_a_run(runs: dict[str, Run], store: str, ledger: Ledger) -> None:
    client, run = MlflowClient(store), runs["attention-fusion-resnet18-vgg13-3"]
    names = [file.path for file in client.list_artifacts(run.info.run_id)]
    assert names == ["confusion_matrix.png", "learning_curve.png", "predictions.csv", "record.json"]
    frame = pd.read_csv(client.download_artifacts(run.info.run_id, "predictions.csv"))
    expected = ledger.predictions("attention-fusion-resnet18-vgg13-3")
    pd.testing.assert_frame_equal(frame, expected, check_dtype=False, rtol=1e-5)


def test_the_parent_shows_the_answer_and_what_fits_of_the_tables(runs: dict[str, Run], store: str) -> None:
    parent = runs["parent"]
    note = parent.data.tags["mlflow.note.content"]
    assert "**Nothing is better.**" in note
    assert "| Model | 50.00 |" in note
    assert "table2.md is too long" in note
    assert "drawn" in note
    paths = {file.path for file in MlflowClient(store).list_artifacts(parent.info.run_id, "report")}
    assert paths == {"report/significance.json", "report/table1.md", "report/table2.md"}


def test_the_parents_metrics_are_the_reports_numbers(runs: dict[str, Run]) -> None:
    golden = Path(__file__).resolve().parents[1] / "golden"
    found = json.loads((golden / "small" / "significance.json").read_text())
    metrics = summary_metrics(load_ledger(golden / "ledger"), found["comparisons"])
    for method, accuracy in found["accuracy"].items():
        assert metrics["accuracy_percent/" + method.translate(str.maketrans(":=", "--"))] == pytest.approx(accuracy)
    assert metrics["accuracy_percent_sd/late"] == pytest.approx(1.18, abs=0.005)  # as Table 2 prints it
    (row,) = [row for row in found["comparisons"] if row["family"] == "primary" and row["baseline"] == "late"]
    assert metrics["difference_points/attention-fusion over late"] == pytest.approx(row["difference"])
    assert runs["parent"].data.metrics == {"accuracy_percent/attention-fusion": pytest.approx(60)}


def test_the_results_have_an_address_where_they_are_held(store: str, ledger: Ledger, tmp_path: Path) -> None:
    assert str(results_address(ledger.root)).endswith(
        "/runs?viewStateShareKey=ferfuse-made-table-2&workflowType=machine_learning"
    )
    write_ledger(tmp_path / "other", records())
    assert results_address(tmp_path / "other") is None


def views_of(client: MlflowClient, experiment: str) -> dict[str, Any]:
    """The state that each of the views sets the run page to."""
    mark = "mlflow.sharedViewState.ferfuse-made-"
    tags = client.get_experiment(experiment).tags
    return {k.removeprefix(mark): json.loads(json.loads(v)["state"]) for k, v in tags.items() if k.startswith(mark)}


def test_a_view_lists_its_runs_by_columns_that_they_have(runs: dict[str, Run], store: str) -> None:
    client, experiment = MlflowClient(store), runs["parent"].info.experiment_id
    fused, first, second = "attention-fusion-resnet18-vgg13-3", "backbone-resnet18-3", "backbone-vgg13-3"
    expected = {
        "table-2": {fused}, "charts": {fused}, "fusion": {fused},
        "table-1": {first, second}, "backbones": {first, second},
    }  # fmt: skip
    views = views_of(client, experiment)
    assert views.keys() == expected.keys()
    for name, state in views.items():
        order = [f"{state['orderByKey']} {'ASC' if state['orderByAsc'] else 'DESC'}"]
        listed = client.search_runs([experiment], state["searchFilter"], order_by=order)
        assert {run.data.tags["ferfuse.run_id"] for run in listed} == expected[name]
        for run in listed:
            held = {f"{kind}.`{key}`" for kind in ("metrics", "params") for key in getattr(run.data, kind)}
            assert held >= {*state["selectedColumns"], state["orderByKey"]}
            charted = {f"metrics.`{c['metricKey']}`" for c in state["compareRunCharts"] if "metricKey" in c}
            assert held >= charted
            by = [key["groupByData"] for key in (state["groupBy"] or {"groupByKeys": []})["groupByKeys"]]
            group = ",".join(f"param.{key}.{run.data.params[key]}" for key in by)
            assert (group in state["groupsExpanded"]) == bool(by)


def test_views_are_linked_from_the_experiment_and_from_the_parent(runs: dict[str, Run], store: str) -> None:
    experiment = MlflowClient(store).get_experiment(runs["parent"].info.experiment_id)
    parent = runs["parent"]
    assert f"[made](#/experiments/{experiment.experiment_id}/runs/{parent.info.run_id})" in experiment.tags[NOTE]
    for name in ("table-2", "table-1", "charts", "fusion", "backbones"):
        link = f"(#/experiments/{experiment.experiment_id}/runs?viewStateShareKey=ferfuse-made-{name}&"
        assert link in experiment.tags[NOTE]
        assert link in parent.data.tags[NOTE]
    assert "ferfuse-made-tuning" not in parent.data.tags[NOTE]


def test_more_runs_than_the_page_loads_are_not_grouped(ledger: Ledger) -> None:
    """A mean over the runs that are loaded, the most accurate, would be too high."""
    settings = {**ledger.experiment["settings"], "seeds": 101}
    few = view_tags({**ledger.experiment, "settings": {**settings, "seeds": 2}}, 0, tuned=False)
    many = view_tags({**ledger.experiment, "settings": settings}, 0, tuned=False)
    name = "mlflow.sharedViewState.ferfuse-made-charts"
    assert json.loads(json.loads(few[name])["state"])["groupBy"]["groupByKeys"][0]["groupByData"] == "method"
    assert json.loads(json.loads(many[name])["state"])["groupBy"] is None


def test_a_second_time_adds_nothing(runs: dict[str, Run], store: str, ledger: Ledger, report: Path) -> None:
    client, experiment = MlflowClient(store), runs["parent"].info.experiment_id
    before = client.get_experiment(experiment).tags
    assert synchronise(ledger.root, report) == Counts(held=3, runs=3, written=0)
    assert len(client.search_runs([experiment])) == len(runs)
    assert client.get_experiment(experiment).tags == before
    assert client.get_run(runs["parent"].info.run_id).data.tags == runs["parent"].data.tags


def test_a_run_that_was_not_written_to_its_end_is_written_anew(
    runs: dict[str, Run], store: str, ledger: Ledger, report: Path
) -> None:
    client = MlflowClient(store)
    half = runs["backbone-vgg13-3"].info.run_id
    client.update_run(half, status="RUNNING")
    assert count_runs(ledger.root) == Counts(held=2, runs=3)
    assert synchronise(ledger.root, report).written == 1
    assert client.get_run(half).info.lifecycle_stage == "deleted"
    assert count_runs(ledger.root) == Counts(held=3, runs=3)


def test_one_writer_at_a_time(ledger: Ledger, report: Path, store: str) -> None:
    with only_writer(ledger.root), pytest.raises(UserError, match="another process"):
        synchronise(ledger.root, report)


def test_counting_writes_nothing(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, store: str) -> None:
    monkeypatch.setattr(Mirror, "__init__", None)
    other = replace(ledger, experiment={**ledger.experiment, "experiment": "other"})
    folder = tmp_path / "other"
    write_ledger(folder, other.records)
    assert count_runs(folder) == Counts(held=0, runs=3)


def test_a_store_that_is_down_is_one_line(ledger: Ledger, report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(UserError, match=r"^MLflow at http://127.0.0.1:1 does not take the runs: .+$"):
        synchronise(ledger.root, report)


def test_a_disk_that_is_full_is_one_line(
    ledger: Ledger, tmp_path: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'full.db'}")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(UserError, match="does not take the runs"):
            synchronise(ledger.root, report)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_server_that_never_answers_delays_the_end_by_no_more_than_the_patience(
    ledger: Ledger, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        mirror = LiveMirror(MirrorOptions(ledger.root, report))
        mirror.start()
        assert mirror.fault() is None
        line = mirror.close(finished=True, patience=0.5)
    assert line is not None
    assert "within 0 seconds" in line
    assert "`ferfuse track --sync --experiment made`" in line
    assert mirror.process is not None
    assert mirror.process.returncode == -9


def test_a_mirror_that_fails_says_so_once(report: Path, tmp_path: Path) -> None:
    mirror = LiveMirror(MirrorOptions(tmp_path / "nothing", report))
    mirror.start()
    assert mirror.process is not None
    mirror.process.wait()
    line = mirror.fault()
    assert line is not None
    assert "no experiment at" in line
    assert mirror.fault() is None
    assert mirror.close(finished=True) is None


def study(trials: int) -> dict[str, Any]:
    return {
        "target": "early",
        "studies": [
            {
                "name": "early · study 1 · abc",
                "seed": 0,
                "best_validation_accuracy": 0.75,
                "trials": [
                    {
                        "number": number,
                        "state": "complete",
                        "values": {"width": 128},
                        "validation_accuracy": 0.5 + number / 8,
                        "cost": None,
                        "curve": {"1": 0.25, "2": 0.5},
                        "epochs": 2,
                        "seconds": 1.5,
                        "started": 1.7e9,
                    }
                    for number in range(trials)
                ],
            }
        ],
    }


def test_studies_and_trials_are_below_the_experiment(
    store: str, runs: dict[str, Run], ledger: Ledger, report: Path
) -> None:
    """A study that went on gains its new trials; the ledger's runs are counted as before."""
    client, experiment = MlflowClient(store), runs["parent"].info.experiment_id
    folder = ledger.root / "tuning"
    folder.mkdir()
    for trials in (2, 3, 3):
        write_json(folder / "early.json", study(trials))
        assert synchronise(ledger.root, report) == Counts(held=3, runs=3, written=0)
        found = {run.info.run_name: run for run in client.search_runs([experiment])}
        whole = found["tuning early · study 1 · seed 0"]
        below = [r for r in found.values() if r.data.tags.get("mlflow.parentRunId") == whole.info.run_id]
        assert len(below) == trials
        assert len(client.search_runs([experiment])) == len(runs) + 1 + trials
        assert whole.data.metrics["tuning/trials"] == trials
    trial = found["early · trial 2 · complete"]
    assert trial.data.metrics["validation/accuracy"] == 0.75
    assert trial.data.params == {"tuned": "early", "width": "128"}
    view = views_of(client, experiment)["tuning"]
    listed = client.search_runs([experiment], view["searchFilter"], order_by=[f"{view['orderByKey']} DESC"])
    assert [run.info.run_name for run in listed] == [f"early · trial {number} · complete" for number in (2, 1, 0)]
    assert "ferfuse-made-tuning" in client.get_run(runs["parent"].info.run_id).data.tags["mlflow.note.content"]
    assert trial.info.end_time - trial.info.start_time == 1500
    shutil.rmtree(folder)


def test_runs_that_are_set_aside_leave_the_views_and_come_back(
    ledger: Ledger, report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(ledger.root, tmp_path / "made"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    description = json.loads((folder / "experiment.json").read_text())
    found = []
    for dropped in ([], ["attention-fusion"], []):
        write_json(folder / "experiment.json", {**description, "dropped": dropped})
        counts = synchronise(folder, report)
        client = MlflowClient()
        experiment = client.get_experiment_by_name("ferfuse demo synthetic")
        runs = client.search_runs([experiment.experiment_id], "tags.`ferfuse.kind` = 'fusion'")
        found.append((counts.written, [run.data.tags["ferfuse.part"] for run in runs]))
    assert found == [(3, ["main"]), (0, ["aside"]), (0, ["main"])]
