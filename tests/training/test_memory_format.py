"""Small batches are learnt in `contiguous_format`, others in `channels_last`: the same numbers but for rounding."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmark.config import load_config
from benchmark.engine.experiment import Request, finished_runs
from benchmark.plan import SMALL_BATCH, Run, make_plan
from benchmark.training.backbone import Logits, initial_backbone
from benchmark.training.checkpoint import stage_of
from benchmark.training.fit import Outcome, fit
from benchmark.training.fusion import initial_end_to_end
from benchmark.training.images import image_task
from benchmark.training.workspace import Workspace

FORMATS = ["contiguous_format", "channels_last"]


def in_format(run: Run, name: str) -> Run:
    return replace(run, hyperparameters={**run.hyperparameters, "memory_format": name})


def test_the_size_of_a_batch_decides_for_what_learns_from_images() -> None:
    def formats(batch: int) -> dict[str, str | None]:
        sizes = {"backbone_stage.batch_size": batch, "joint_stage.batch_size": batch, "fusion_stage.batch_size": 4}
        runs = make_plan(load_config("demo", {**sizes, "seeds": 1}), "0" * 32, 7, 600)
        return {run.stage: run.hyperparameters.get("memory_format") for run in runs}

    small = {"backbone": "contiguous_format", "joint": "contiguous_format", "stored": None}
    assert formats(SMALL_BATCH - 1) == small
    assert formats(SMALL_BATCH) == dict.fromkeys(small)


def test_a_result_of_another_format_has_another_id(monkeypatch: pytest.MonkeyPatch) -> None:
    def ids() -> dict[str, str]:
        settings = load_config("demo", {"backbone_stage.batch_size": 8, "joint_stage.batch_size": 8, "seeds": 1})
        return {run.label: run.run_id for run in make_plan(settings, "0" * 32, 7, 600)}

    contiguous = ids()
    monkeypatch.setattr("benchmark.plan.SMALL_BATCH", 8)
    channels_last = ids()
    assert contiguous.keys() == channels_last.keys()
    assert not set(contiguous.values()) & set(channels_last.values())


@pytest.mark.parametrize("name", FORMATS)
def test_weights_and_training_images_lie_as_the_run_says(name: str, request_: Request) -> None:
    runs, workspace = finished_runs(request_)
    expected = getattr(torch, name)
    network = in_format(next(run for run in runs if run.kind == "backbone"), name)
    joint = in_format(next(run for run in runs if run.stage == "joint"), name)
    for module in (initial_backbone(network, workspace), initial_end_to_end(joint, workspace)):
        kernels = [weights for weights in module.parameters() if weights.dim() == 4 and weights.shape[2] > 1]
        assert kernels
        assert all(weights.is_contiguous(memory_format=expected) for weights in kernels)
    images, _ = next(iter(workspace.image_batches(network, workspace.split(0).train, 1)))
    assert images.is_contiguous(memory_format=expected)


def test_both_formats_learn_the_same_but_for_rounding(request_: Request) -> None:
    runs, workspace = finished_runs(request_)
    run = next(run for run in runs if run.kind == "backbone")
    one, other = (learnt(in_format(run, name), workspace) for name in FORMATS)
    assert one.history[0]["train_loss"] == pytest.approx(other.history[0]["train_loss"], rel=1e-3)


def learnt(run: Run, workspace: Workspace) -> Outcome:
    """Train for one epoch at a rate that lets rounding stay small."""
    short = replace(run, hyperparameters={**run.hyperparameters, "epochs": 1, "learning_rate": 1e-6})
    network = Logits(initial_backbone(short, workspace), "float32")
    return fit(network, image_task(short, workspace), stage_of(short))
