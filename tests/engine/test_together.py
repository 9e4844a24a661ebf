"""A run takes along those whose heads are trained as one with its own, and each leaves its own record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchmark.engine import work as worker
from benchmark.engine.outcomes import Busy, Failed, Lost
from benchmark.engine.work import work, work_together
from benchmark.ledger import Record, artifact_folder, is_finished, read_record, write_run
from benchmark.ledger.claims import claim
from benchmark.plan import Run
from benchmark.training.backbone import OUTPUTS
from benchmark.training.checkpoint import load_tensors, save_tensors
from benchmark.training.fit import DivergedError
from benchmark.training.stacked import Member
from benchmark.training.workspace import Workspace
from tests.conftest import make_predictions, make_record
from tests.training import awkward_heads
from tests.training.random_outputs import place_of_random_outputs

Place = tuple[list[Run], Workspace]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return place_of(["early", "gated"], tmp_path, monkeypatch)


def place_of(methods: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Return fusion runs that can start, on a device of which it is said that stacks pay."""
    monkeypatch.setattr(worker, "pays", lambda device: True)
    monkeypatch.setattr("benchmark.training.milliseconds_per_image", lambda *_: None)
    plan, workspace = place_of_random_outputs(folder, methods)
    for run in plan:
        if run.kind == "backbone":
            record = replace(make_record("backbone", None, list(run.backbones), run.seed, 0.5), run_id=run.run_id)
            write_run(workspace.experiment, record, make_predictions(), pd.DataFrame({"epoch": [1]}))
    return [run for run in plan if run.kind == "fusion"], workspace


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the stacks that are tried."""
    sizes: list[int] = []
    train = worker.train_together

    def counted(members: Sequence[Member], workspace: Workspace) -> object:
        sizes.append(len(members))
        return train(members, workspace)

    monkeypatch.setattr(worker, "train_together", counted)
    return sizes


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


@pytest.mark.parametrize("method", [*awkward_heads.REFUSED, *awkward_heads.UNSTACKABLE])
def test_what_cannot_be_stacked_is_done_one_by_one_and_tried_once(
    method: str, tmp_path: Path, tries: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    awkward_heads.register(monkeypatch)
    runs, workspace = place = place_of([method], tmp_path, monkeypatch)
    assert all(isinstance(work_together(run, runs, workspace), Record) for run in runs)
    assert len(finished(place)) == 4
    refused = method in awkward_heads.REFUSED
    assert tries == [4] * refused
    assert len(caplog.messages) == refused
    assert all(line.startswith(f"{method}: 4 runs are done one by one, as ") for line in caplog.messages)


@pytest.mark.parametrize("fault", [DivergedError("x"), torch.OutOfMemoryError("CUDA out of memory"), OSError(5, "I/O")])
def test_whatever_fails_in_a_stack_ends_that_stack_alone(
    fault: Exception, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def fail(members: Sequence[Member], _: Workspace) -> None:
        tried.append(members[0][0].method)
        raise fault

    runs, workspace = place
    monkeypatch.setattr(worker, "train_together", fail)
    assert all(isinstance(work_together(run, runs, workspace), Record) for run in runs)
    assert tried == ["early", "gated"]


def test_of_two_runs_the_one_at_fault_fails_alone(
    tmp_path: Path, tries: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, workspace = place_of(["early"], tmp_path, monkeypatch)
    path = artifact_folder(workspace.experiment, runs[0].parents[0]) / OUTPUTS
    outputs = load_tensors(path)
    save_tensors({**outputs, "features": outputs["features"] * float("nan")}, path)
    outcomes = {run.label: work_together(run, runs, workspace) for run in runs}
    failed = {label for label, outcome in outcomes.items() if isinstance(outcome, Failed)}
    assert failed == {run.label for run in runs if runs[0].parents[0] in run.parents}
    assert {type(outcome) for label, outcome in outcomes.items() if label not in failed} == {Record}
    assert tries == [4]


def test_a_run_whose_parent_lost_its_weights_says_so_and_the_others_are_stacked(
    tmp_path: Path, tries: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, workspace = place_of(["early"], tmp_path, monkeypatch)
    lost = runs[0].parents[0]
    path = artifact_folder(workspace.experiment, lost) / OUTPUTS
    path.write_bytes(path.read_bytes()[:-20])
    outcome = work_together(runs[0], runs, workspace)
    assert isinstance(outcome, Lost)
    assert outcome.parent == lost
    assert tries == []
    whole = [run for run in runs if lost not in run.parents]
    assert all(isinstance(work_together(run, runs, workspace), Record) for run in whole)
    assert tries == [len(whole)]


def test_a_cpu_does_every_run_alone_and_a_gpu_does_not() -> None:
    assert not worker.pays("cpu")
    assert worker.pays("cuda:1")


def test_where_stacks_do_not_pay_a_run_is_done_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, workspace = place
    monkeypatch.setattr(worker, "pays", lambda device: False)
    work_together(runs[0], runs, workspace)
    assert finished(place) == {runs[0].label}
