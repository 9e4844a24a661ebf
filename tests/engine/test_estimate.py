"""Estimates from rates that are known, and rates that are measured."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmark.config import load_config
from benchmark.engine import estimate as estimating
from benchmark.engine.estimate import Head, Rates, estimate
from benchmark.engine.footprint import Footprint
from benchmark.plan import Run, make_plan
from tests.conftest import make_record

RATES = Rates(
    training={"resnet18": 0.01, "vgg11": 0.02},
    evaluation={"resnet18": 0.001, "vgg11": 0.004},
    footprints={"resnet18": Footprint(100, 3.0, 1.0), "vgg11": Footprint(40, 5.0, 4.0)},
    heads={
        ("early", ("resnet18", "vgg11")): Head(0.5, 2000),
        ("early:features=cross-fitted", ("resnet18", "vgg11")): Head(0.25, 2000),
    },
    base=10**6,
)


@pytest.fixture(scope="module")
def plan() -> dict[str, Run]:
    changes = {
        "backbones": ["resnet18", "vgg11"],
        "methods": ["early", "joint", "early:features=cross-fitted"],
        "seeds": 1,
        "backbone_stage.epochs": 3,
        "joint_stage.epochs": 2,
        "fusion_stage.epochs": 4,
        "fusion_stage.batch_size": 10,
    }
    plan = make_plan(load_config("demo", changes), "0" * 32, 7, 100)
    return {run.label: run for run in plan if run.kind != "fold"}


@pytest.fixture
def workspace() -> Any:
    """100 training, 20 validation and 30 test images."""
    split = SimpleNamespace(train=np.arange(100), validation=np.arange(20), test=np.arange(30))
    settings = SimpleNamespace(data=SimpleNamespace(image_size=448))
    return SimpleNamespace(
        split=lambda seed: split, manifest=range(150), device="cpu", settings=settings, micro_batches={}
    )


def test_a_run_costs_its_epochs_of_training_and_evaluation(plan: dict[str, Run], workspace: Any) -> None:
    backbone = estimating._seconds(plan["resnet18 · seed 0"], RATES, workspace)
    assert backbone == pytest.approx(
        3 * (100 * 0.01 + 50 * 0.001) + 150 * 0.001
    )  # its outputs for all images at the end
    joint = estimating._seconds(plan["joint · resnet18+vgg11 · seed 0"], RATES, workspace)
    assert joint == pytest.approx(2 * (100 * 0.03 + 50 * 0.005))
    assert estimating._seconds(plan["early · resnet18+vgg11 · seed 0"], RATES, workspace) == pytest.approx(4 * 10 * 0.5)
    folded = estimating._seconds(plan["early:features=cross-fitted · resnet18+vgg11 · seed 0"], RATES, workspace)
    assert folded == pytest.approx(4 * 10 * 2 * 0.25)


@pytest.mark.parametrize(
    ("times", "workers", "expected"),
    [([4, 3, 2, 1], 1, 10), ([4, 3, 2, 1], 2, 5), ([5, 1, 1], 2, 5), ([1, 1], 4, 1), ([], 3, 0)],
)
def test_the_last_run_ends_when_free_workers_take_the_next(times: list[float], workers: int, expected: float) -> None:
    assert estimating._makespan(times, workers) == expected


def test_finished_runs_of_the_same_kind_are_believed_more_than_the_calibration(
    plan: dict[str, Run], workspace: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimating, "_calibrated", lambda *_: RATES)
    runs = [plan["resnet18 · seed 0"], plan["early · resnet18+vgg11 · seed 0"]]
    record = replace(make_record("backbone", None, ["resnet18"], 7, 0.5), seconds=100.0)
    found = estimate(runs, [record], workspace, 1, ())
    assert found.seconds == pytest.approx(100 + 20)
    assert found.calibrated == 1


def test_memory_is_that_of_the_dearest_runs_that_can_be_side_by_side(
    plan: dict[str, Run], workspace: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimating, "_calibrated", lambda *_: RATES)
    stored, folded = (plan[f"early{what} · resnet18+vgg11 · seed 0"] for what in ("", ":features=cross-fitted"))
    backbone, joint = plan["vgg11 · seed 0"], plan["joint · resnet18+vgg11 · seed 0"]
    batch = int(backbone.hyperparameters["batch_size"])
    needs = {
        stored.run_id: 10**6 + 2000,
        folded.run_id: 10**6 + 2 * 2000,  # both folds' outputs are held
        backbone.run_id: 10**6 + max(batch * (5 + 2 * 4), 16 * 2 * 4),  # 16 images of 448 pixels are looked at at once
        joint.run_id: 10**6 + 40 + int(joint.hyperparameters["batch_size"]) * (3 + 5 + 2 * 4),
    }
    runs = [stored, folded, backbone, joint]
    assert [estimate([run], [], workspace, 8, ()).memory for run in runs] == list(needs.values())
    two_dearest = sum(sorted(needs.values())[-2:])
    assert estimate(runs, [], workspace, 2, ()).memory == two_dearest
    workspace.micro_batches[joint.run_id] = 1
    assert estimate([joint], [], workspace, 1, ()).memory < needs[joint.run_id]


def test_disk_is_that_of_the_weights_that_backbones_and_end_to_end_runs_leave(plan: dict[str, Run]) -> None:
    one, other = (plan[f"{name} · seed 0"].parameters for name in ("resnet18", "vgg11"))
    joint = plan["joint · resnet18+vgg11 · seed 0"]
    assert one + other < joint.parameters < 1.05 * (one + other)
    assert estimating.weights_on_disk(list(plan.values())) == 4 * (one + other + joint.parameters)
