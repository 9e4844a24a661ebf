"""A run takes along those whose heads are trained as one with its own, and each leaves its own record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.engine import together
from benchmark.engine.claims import claim
from benchmark.engine.outcomes import Busy
from benchmark.engine.together import work_together
from benchmark.engine.work import work
from benchmark.ledger import Record, is_finished, read_record, write_run
from benchmark.plan import Run
from benchmark.training.fit import DivergedError
from benchmark.training.workspace import Workspace
from tests.conftest import make_predictions, make_record
from tests.training.random_outputs import place_of_random_outputs

Place = tuple[list[Run], Workspace]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Fusion runs that can start, on a device of which it is said that stacks pay."""
    monkeypatch.setattr(together, "pays", lambda device: True)
    monkeypatch.setattr("benchmark.training.milliseconds_per_image", lambda *_: None)
    plan, workspace = place_of_random_outputs(tmp_path, ["early", "gated"])
    for run in plan:
        if run.kind == "backbone":
            record = replace(make_record("backbone", None, list(run.backbones), run.seed, 0.5), run_id=run.run_id)
            write_run(workspace.experiment, record, make_predictions(), pd.DataFrame({"epoch": [1]}))
    return [run for run in plan if run.kind == "fusion"], workspace


def finished(place: Place) -> set[str]:
    runs, workspace = place
    return {run.label for run in runs if is_finished(workspace.experiment, run.run_id)}


def test_all_runs_of_a_method_are_done_with_the_first(place: Place) -> None:
    runs, workspace = place
    early = [run for run in runs if run.method == "early"]
    outcome = work_together(early[0], runs, workspace)
    assert isinstance(outcome, Record)
    assert outcome.run_id == early[0].run_id
    assert finished(place) == {run.label for run in early}
    metrics = {str(read_record(workspace.experiment, run.run_id).metrics) for run in early}
    assert len(metrics) > 1


def test_a_stack_leaves_what_runs_alone_leave(place: Place) -> None:
    runs, workspace = place
    early = [run for run in runs if run.method == "early"]
    work_together(early[0], runs, workspace)
    mine = read_record(workspace.experiment, early[1].run_id)
    (workspace.experiment / "runs" / early[1].run_id / "record.json").unlink()
    alone = work(early[1], workspace)
    assert isinstance(alone, Record)
    assert alone.hyperparameters == mine.hyperparameters
    for rule, values in alone.metrics.items():
        np.testing.assert_allclose([mine.metrics[rule][name] for name in values], list(values.values()), atol=1e-4)


def test_a_run_that_another_process_is_at_is_left_to_it(place: Place) -> None:
    runs, workspace = place
    early = [run for run in runs if run.method == "early"]
    with claim(workspace.experiment, early[1].run_id) as mine:
        assert mine
        work_together(early[0], runs, workspace)
        assert isinstance(work_together(early[1], runs, workspace), Busy)
    assert finished(place) == {run.label for run in early if run is not early[1]}


def test_where_a_stack_fails_its_runs_are_done_one_by_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise DivergedError("a head in the stack")

    runs, workspace = place
    monkeypatch.setattr(together, "train_together", fail)
    assert isinstance(work_together(runs[0], runs, workspace), Record)
    assert finished(place) == {runs[0].label}


def test_a_cpu_does_every_run_alone_and_a_gpu_does_not() -> None:
    assert not together.pays("cpu")
    assert together.pays("cuda:1")


def test_where_stacks_do_not_pay_a_run_is_done_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, workspace = place
    monkeypatch.setattr(together, "pays", lambda device: False)
    work_together(runs[0], runs, workspace)
    assert finished(place) == {runs[0].label}
