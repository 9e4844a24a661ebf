"""Repeating finished runs: the same bits on a CPU, what can be said of a GPU, and a changed ledger is noticed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.audit.determinism import (
    DIFFERENT,
    IDENTICAL,
    NONDETERMINISTIC,
    changed_by_seed,
    compare,
    draw_sample,
    repeat_sample,
)
from benchmark.config import UserError, load_config
from benchmark.engine.experiment import finished_runs
from benchmark.engine.outcomes import Request
from benchmark.ledger import Ledger, load_ledger, write_run
from benchmark.ledger.files import read_json, write_json
from benchmark.plan import make_plan
from tests.conftest import make_predictions, make_record, write_ledger
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
    record = path.with_name("record.json")
    write_json(record, {**read_json(record), "digests": {}})
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


GPU = {"device": "NVIDIA H200", "deterministic": None, "compiled": None}
FIXED = {**GPU, "deterministic": "yes"}
CPU = {**GPU, "device": "cpu"}
SCORES = np.tile(np.array([[0, 3]], dtype=np.float32), (9, 1))  # one validation and eight test images, all of class 1


def with_others(count: int) -> np.ndarray:
    """Scores of which the first `count` test images have another class."""
    scores = SCORES.copy()
    scores[1 : 1 + count] = scores[1 : 1 + count, ::-1]
    return scores


@pytest.fixture
def seeds(tmp_path: Path) -> Ledger:
    """Three seeds of a backbone, every label class 1; two differ from the first on 1 and on 3 of 8 test images."""
    records = [make_record("backbone", None, ["resnet18"], seed, 0.5) for seed in range(3)]
    write_ledger(tmp_path / "seeds", records)
    for record, others in zip(records, (0, 1, 3), strict=True):
        frame = make_predictions(9, classes=2).assign(label=np.int16(1))
        frame[["logit_0", "logit_1"]] = with_others(others)
        write_run(tmp_path / "seeds", record, frame, pd.DataFrame())
    return load_ledger(tmp_path / "seeds")


@pytest.mark.parametrize(
    ("then", "now", "stage", "scores", "verdict"),
    [
        (CPU, CPU, "stored", SCORES, IDENTICAL),
        (CPU, CPU, "stored", SCORES + 2**-20, DIFFERENT),
        (FIXED, FIXED, "joint", SCORES + 2**-20, DIFFERENT),
        (FIXED, FIXED, "stored", SCORES + 2**-20, NONDETERMINISTIC),  # it may have been one of a stack
        (FIXED, GPU, "joint", SCORES + 2**-20, NONDETERMINISTIC),
        (CPU, GPU, "joint", SCORES + 2**-20, NONDETERMINISTIC),
        ({**CPU, "compiled": "yes"}, CPU, "joint", SCORES + 2**-20, NONDETERMINISTIC),
        (GPU, GPU, "joint", with_others(3), NONDETERMINISTIC),
        (GPU, GPU, "joint", with_others(5), DIFFERENT),  # more than twice the 2 of 8 that other seeds change
    ],
)
def test_what_adds_in_a_fixed_order_has_to_be_identical_and_a_gpu_is_held_to_what_seeds_change(
    seeds: Ledger, then: dict[str, str], now: dict[str, str], stage: str, scores: np.ndarray, verdict: str
) -> None:
    plan = make_plan(load_config("demo", {"backbones": ["resnet18", "vgg11"]}), "0" * 32, 7, 100)
    record = seeds.records[0]
    run = replace(next(run for run in plan if run.stage == stage), run_id=record.run_id)
    environment = {name: value for name, value in then.items() if name != "device" and value}
    found = compare(run, replace(record, device=then["device"], environment=environment), seeds, scores, now)
    assert found.verdict == verdict
    assert found.accuracy == 1
    assert found.accuracy_again == 1 - found.changed
    assert found.changed == pytest.approx((scores.argmax(1) == 0).sum() / 8)
    assert found.changed_by_seed == pytest.approx((1 / 8 + 3 / 8) / 2)
    assert found.largest_difference == pytest.approx(np.abs(scores - SCORES).max() / 1.5)
    assert found.elsewhere == ", ".join(name for name in now if now[name] != then[name])


def test_without_another_seed_a_gpu_is_held_to_nothing(seeds: Ledger) -> None:
    record = seeds.records[0]
    assert changed_by_seed(record, replace(seeds, records=[record])) is None
    other = replace(seeds.records[1], hyperparameters={"epochs": 4})
    assert changed_by_seed(record, replace(seeds, records=[record, other])) is None
