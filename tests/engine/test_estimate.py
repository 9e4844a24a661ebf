"""Estimates from costs that are known, against sums by hand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmark.config import load_config
from benchmark.engine import estimate as estimating
from benchmark.engine.costs import Costs, Footprint, HeadCost, NetworkCost
from benchmark.engine.estimate import Estimate, Share, estimate
from benchmark.plan import Run, make_plan
from tests.conftest import make_record

PAIR = ("resnet18", "vgg11")
COSTS = Costs(
    networks={
        "resnet18": NetworkCost(0.01, 0.001, Footprint(100, 3.0, 1.0), output=20, maps=300),
        "vgg11": NetworkCost(0.02, 0.004, Footprint(40, 5.0, 4.0), output=10, maps=500, scaled_from="resnet18"),
    },
    heads={
        ("early", PAIR): HeadCost(0.5, 0.1, 2000, parameters=7),
        ("attention-fusion:axis=spatial", PAIR): HeadCost(0.7, 0.1, 2000, 9, maps=True, scaled_from="early"),
        ("early:features=cross-fitted", PAIR): HeadCost(0.25, 0.1, 2000, parameters=7),
    },
    base=10**6,
)
WHOLE = Share()


def runs_of(seeds: int) -> list[Run]:
    changes = {
        "backbones": list(PAIR),
        "methods": [*(method for method, _ in COSTS.heads), "joint"],
        "seeds": seeds,
        "backbone_stage.epochs": 3,
        "joint_stage.epochs": 2,
        "fusion_stage.epochs": 4,
        "fusion_stage.batch_size": 10,
    }
    return make_plan(load_config("demo", changes), "0" * 32, 7, 100)


@pytest.fixture(scope="module")
def plan() -> dict[str, Run]:
    return {run.label: run for run in runs_of(1) if run.kind != "fold"}


@pytest.fixture(autouse=True)
def known_costs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Let the costs be those above; returns the calls that asked for them."""
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(estimating, "calibrated", lambda *words: (calls.append(words), COSTS)[1])
    return calls


@pytest.fixture
def workspace() -> Any:
    """100 training, 20 validation and 30 test images of 3 classes."""
    split = SimpleNamespace(train=np.arange(100), validation=np.arange(20), test=np.arange(30))

    class Images:
        classes = ("a", "b", "c")

        def __len__(self) -> int:
            return 150

    settings = SimpleNamespace(data=SimpleNamespace(image_size=448))
    return SimpleNamespace(
        split=lambda seed: split, manifest=Images(), device="cpu", settings=settings, micro_batches={}
    )


def estimated(runs: list[Run], workspace: Any, workers: int = 1, finished: Any = ()) -> Estimate:
    return estimate(runs, finished, workspace, ["cpu"] * workers, ())


def test_a_run_costs_its_epochs_of_training_and_evaluation(plan: dict[str, Run], workspace: Any) -> None:
    def seconds(label: str, share: Share = WHOLE) -> float:
        return estimating._seconds(plan[f"{label} · seed 0"], COSTS, workspace, share)

    once = 100 * 0.01 + 50 * 0.001
    outputs = 150 * 0.001  # for all images at the end
    assert seconds("resnet18") == pytest.approx(3 * once + outputs)
    assert seconds("resnet18", Share(epochs=0.5)) == pytest.approx(1.5 * once + outputs)
    assert seconds("resnet18", Share(pixels=0.25)) == pytest.approx((3 * once + outputs) / 4)
    assert seconds("joint · resnet18+vgg11") == pytest.approx(2 * (100 * 0.03 + 50 * 0.005))
    head = 4 * (10 * 0.5 + 5 * 0.1)
    assert seconds("early · resnet18+vgg11") == pytest.approx(head)
    assert seconds("early · resnet18+vgg11", Share(pixels=0.25)) == pytest.approx(head)
    folded = seconds("early:features=cross-fitted · resnet18+vgg11")
    assert folded == pytest.approx(4 * 2 * (10 * 0.25 + 5 * 0.1))


@pytest.mark.parametrize(
    ("times", "workers", "expected"),
    [([4, 3, 2, 1], 1, 10), ([4, 3, 2, 1], 2, 5), ([5, 1, 1], 2, 5), ([1, 1], 4, 1), ([], 3, 0)],
)
def test_the_last_run_ends_when_free_workers_take_the_next(times: list[float], workers: int, expected: float) -> None:
    assert estimating._makespan(times, workers) == expected


def test_finished_runs_of_the_same_kind_are_believed_more_than_the_calibration(
    plan: dict[str, Run], workspace: Any
) -> None:
    runs = [plan["resnet18 · seed 0"], plan["early · resnet18+vgg11 · seed 0"]]
    record = replace(make_record("backbone", None, ["resnet18"], 7, 0.5), seconds=100.0)
    found = estimated(runs, workspace, finished=[record])
    assert found.seconds == pytest.approx(100 + 22)
    assert found.half["epochs"] == pytest.approx(50 + 11)
    assert found.half["image_size"] == pytest.approx(25 + 22)
    assert found.calibrated == 1


def test_what_fewer_seeds_would_take_leaves_the_last_ones_out(workspace: Any) -> None:
    for seeds in (3, 4):
        found = estimated(runs_of(seeds), workspace)
        assert found.half["seeds"] == pytest.approx(found.seconds * 2 / seeds)


def test_what_was_scaled_is_told(plan: dict[str, Run], workspace: Any) -> None:
    found = estimated(list(plan.values()), workspace)
    assert found.scaled == {"vgg11": "resnet18", "attention-fusion:axis=spatial": "early"}


@pytest.mark.parametrize(
    ("devices", "sharing"),
    [(["cpu", "cpu"], 2), (["cuda:0", "cuda:0"], 2), (["cuda:0", "cuda:1"], 1), (["cuda:1"] * 3, 3)],
)
def test_as_many_processes_calibrate_as_share_a_device(
    plan: dict[str, Run], workspace: Any, devices: list[str], sharing: int, known_costs: list[tuple[Any, ...]]
) -> None:
    estimate(list(plan.values()), [], workspace, devices, ())
    assert [call[2] for call in known_costs] == [sharing]


def test_memory_is_that_of_the_dearest_runs_that_can_be_side_by_side(plan: dict[str, Run], workspace: Any) -> None:
    stored, folded = (plan[f"early{what} · resnet18+vgg11 · seed 0"] for what in ("", ":features=cross-fitted"))
    backbone, joint = plan["vgg11 · seed 0"], plan["joint · resnet18+vgg11 · seed 0"]
    batch = int(backbone.hyperparameters["batch_size"])
    needs = {
        stored.run_id: 10**6 + 2000,
        folded.run_id: 10**6 + 2 * 2000,  # both folds' outputs are held
        backbone.run_id: 10**6 + 40 + max(batch * (5 + 2 * 4), 16 * 2 * 4),  # 16 images of 448 pixels at once
        joint.run_id: 10**6 + 140 + int(joint.hyperparameters["batch_size"]) * (3 + 5 + 2 * 4),
    }
    runs = [stored, folded, backbone, joint]
    assert [estimated([run], workspace, 8).memory for run in runs] == list(needs.values())
    two_dearest = sum(sorted(needs.values())[-2:])
    assert estimated(runs, workspace, 2).memory == two_dearest
    workspace.micro_batches[joint.run_id] = 1
    assert estimated([joint], workspace).memory < needs[joint.run_id]


def test_disk_holds_weights_outputs_maps_and_predictions(plan: dict[str, Run], workspace: Any) -> None:
    backbone, joint = plan["vgg11 · seed 0"], plan["joint · resnet18+vgg11 · seed 0"]
    spatial = plan["attention-fusion:axis=spatial · resnet18+vgg11 · seed 0"]
    predictions = 50 * 3 * 4
    assert estimated([backbone], workspace).disk == 4 * backbone.parameters + 150 * 10 + predictions
    assert estimated([joint], workspace).disk == 4 * joint.parameters + predictions  # its selected weights are kept
    assert estimated([spatial], workspace).disk == 4 * 9 + 150 * (300 + 500) + predictions
    twice = replace(spatial, seed=1)
    assert estimated([spatial, twice], workspace).disk == 2 * (4 * 9 + predictions) + 150 * (300 + 500)
