"""Repeating finished runs: the same bits on a CPU, and a changed ledger is noticed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.audit.determinism import CLOSE, DIFFERENT, IDENTICAL, compare, draw_sample, repeat_sample
from benchmark.config import UserError, load_config
from benchmark.engine.experiment import finished_runs
from benchmark.engine.outcomes import Request
from benchmark.plan import make_plan
from tests.conftest import make_record
from tests.engine.tiny import contents, tiny_request


def test_a_repeated_run_is_identical_and_a_changed_prediction_is_found(undisturbed: Request, tmp_path: Path) -> None:
    shutil.copytree(undisturbed.results_dir, tmp_path / "results")
    request = tiny_request(tmp_path, data_dir=undisturbed.data_dir)
    before = contents(request.folder)
    runs, workspace = finished_runs(request)
    repeated = repeat_sample(runs, 3, workspace)
    assert [item.verdict for item in repeated] == [IDENTICAL] * 3
    stages = {run.run_id: run.stage for run in runs}
    assert {stages[item.run_id] for item in repeated} == {"backbone", "stored", "joint"}
    assert contents(request.folder) == before
    path = request.folder / "runs" / repeated[0].run_id / "predictions.parquet"
    frame = pd.read_parquet(path)
    frame.loc[3, "logit_2"] += np.float32(1e-5)
    frame.to_parquet(path, index=False)
    assert repeat_sample(runs, 1, workspace)[0].verdict == DIFFERENT


def test_runs_whose_parents_left_nothing_are_not_repeated(undisturbed: Request, tmp_path: Path) -> None:
    shutil.copytree(undisturbed.folder / "runs", tmp_path / "results" / "tiny" / "runs")
    shutil.copy(undisturbed.folder / "experiment.json", tmp_path / "results" / "tiny")
    runs, workspace = finished_runs(tiny_request(tmp_path, data_dir=undisturbed.data_dir))
    with pytest.raises(UserError, match="no finished run to repeat"):
        repeat_sample([run for run in runs if run.kind == "fusion"], 3, workspace)


def test_a_sample_has_every_stage_and_is_the_same_every_time() -> None:
    plan = make_plan(load_config("demo", {"backbones": ["resnet18", "vgg11"]}), "0" * 32, 7, 100)
    sample = draw_sample(plan, 6)
    assert [run.stage for run in sample[:3]] == list(dict.fromkeys(run.stage for run in sample))
    assert {run.stage for run in sample} == {"backbone", "stored", "joint"}
    assert draw_sample(plan[::-1], 6) == sample
    assert len(draw_sample(plan, 1000)) == len(plan)


@pytest.mark.parametrize(
    ("device", "change", "verdict"),
    [
        ("cpu", 0.0, IDENTICAL),
        ("cpu", 2**-20, DIFFERENT),
        ("NVIDIA H200", 1e-3, CLOSE),
        ("NVIDIA H200", 0.1, DIFFERENT),
    ],
)
def test_a_gpu_is_given_a_tolerance_and_a_cpu_none(device: str, change: float, verdict: str) -> None:
    run = make_plan(load_config("demo", {"backbones": ["resnet18", "vgg11"]}), "0" * 32, 7, 100)[0]
    record = replace(make_record("backbone", None, ["resnet18"], 0, 0.5), device=device)
    first = np.array([[1.0, -1.0], [1.0, -1.0]], dtype=np.float32)
    second = first + np.array([[change, 0], [0, 0]], dtype=np.float32)
    found = compare(run, record, first, second)
    assert found.verdict == verdict
    assert found.largest_difference == pytest.approx(change, rel=1e-2)
    assert found.changed == 0
