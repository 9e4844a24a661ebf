"""A metric of any MLflow experiment, as a table that can be judged."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from benchmark.analysis.judging import judge
from benchmark.config import UserError
from benchmark.tracking.metrics import read_metric

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own use of SQLAlchemy


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    client = MlflowClient()
    experiment = client.create_experiment("theirs")
    for seed in range(4):
        for method, accuracy in (("mine", 0.9 + seed / 100), ("late", 0.8 + seed / 200)):
            run = client.create_run(experiment)
            client.log_param(run.info.run_id, "model", method)
            client.log_param(run.info.run_id, "seed", seed)
            client.log_metric(run.info.run_id, "test_acc", accuracy)
            client.set_terminated(run.info.run_id)
    client.create_run(experiment)  # still running, and without the metric
    return client


def test_runs_are_judged_by_a_parameter(store: MlflowClient) -> None:
    frame = read_metric("theirs", "test_acc", "model")
    assert len(frame) == 8
    (row,) = judge(frame, "mine").rows
    assert row.test is not None
    assert (row.test.verdict, row.paired) == ("better on this test set", True)
    assert row.test.mean == pytest.approx(10.75)


def test_what_is_not_there_is_named(store: MlflowClient) -> None:
    with pytest.raises(UserError, match="no experiment 'their'; did you mean theirs"):
        read_metric("their", "test_acc", "model")
    with pytest.raises(UserError, match="no finished run of 'theirs' has metric 'acc'"):
        read_metric("theirs", "acc", "model")
