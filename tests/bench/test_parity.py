"""Both paths take the same steps, select by validation and report the test accuracy of that epoch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from backbones import build_backbone
from benchmark.bench import parity
from benchmark.bench.plain import PlainTraining
from benchmark.bench.setup import Setup
from benchmark.config import UserError
from benchmark.statistics.paired import paired_t_test
from benchmark.training.backbone import Logits, initial_backbone
from benchmark.training.checkpoint import stage_of
from benchmark.training.fit import fit
from benchmark.training.images import image_task
from benchmark.training.small_maps import SmallMapConv2d


@pytest.mark.parametrize("best", [0, 1, 2])
def test_the_plain_path_reports_the_epoch_that_validation_chose(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, best: int
) -> None:
    workspace = setup.workspace
    labels = workspace.labels_of(workspace.split(0))
    right = {name: np.eye(7, dtype=np.float32)[truth] for name, truth in labels.items()}
    wrong = {name: np.roll(scores, 1, axis=1) for name, scores in right.items()}
    epochs = [
        {
            "validation": (right if epoch == best else wrong)["validation"],
            "test": (wrong if epoch == best else right)["test"],
        }
        for epoch in range(3)
    ]
    monkeypatch.setattr(parity.PlainTraining, "epochs", lambda *_: epochs)
    run = next(run for run in setup.plan if run.kind == "backbone")
    assert parity._plain(run, setup) == 0.0


def test_the_plain_path_starts_from_the_same_weights_with_torchs_convolutions(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[nn.Module] = []
    labels = setup.workspace.labels_of(setup.workspace.split(0))
    scores = {name: np.eye(7, dtype=np.float32)[truth] for name, truth in labels.items()}
    monkeypatch.setattr(parity.PlainTraining, "epochs", lambda _, network, __: seen.append(network) or [scores])
    run = next(run for run in setup.plan if run.kind == "backbone")
    parity._plain(run, setup)
    start = initial_backbone(run, setup.workspace)
    assert any(isinstance(layer, SmallMapConv2d) for layer in start.modules())
    assert not any(isinstance(layer, SmallMapConv2d) for layer in seen[0].modules())
    plain = seen[0].get_submodule("backbone").state_dict()
    assert all(torch.equal(plain[name], value) for name, value in start.state_dict().items())


def test_both_paths_take_the_same_steps_on_the_same_batches(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    run, workspace = next(run for run in setup.plan if run.kind == "backbone"), setup.workspace
    stage = stage_of(run).model_copy(update={"epochs": 1, "schedule": "cosine", "warmup": 0.5})
    batches = list(workspace.image_batches(run, workspace.split(0).train, 1))[:3]
    start = initial_backbone(run, workspace)
    network = build_backbone("resnet18", 7)
    network.load_state_dict(start.state_dict())

    task = dataclasses.replace(image_task(run, workspace), batches=lambda _: batches, steps=len(batches))
    fast = fit(Logits(start, "float32"), task, stage).history[0]["train_loss"]

    losses: list[float] = []
    learn = PlainTraining._learn
    monkeypatch.setattr(PlainTraining, "_learn", lambda self, *rest: losses.append(learn(self, *rest)))
    training = PlainTraining(workspace, run.seed, stage, 0)
    training.train = batches  # type: ignore[assignment]
    training.epochs(Logits(network, "float32"), 1)
    assert losses[0] / len(batches) == pytest.approx(fast, rel=3e-3)  # rounding: 7e-4; a rate 5 % off: 8e-3


def test_the_fast_path_reports_the_accuracy_of_its_selected_epoch(setup: Setup) -> None:
    run = next(run for run in setup.plan if run.kind == "backbone")
    outcome = parity.train_without_artifacts(run, setup.workspace)
    expected = outcome.history[outcome.epochs["validation_selected"] - 1]["test_accuracy"]
    assert parity._fast(run, setup) == pytest.approx(expected)


def test_one_seed_is_refused(setup: Setup) -> None:
    with pytest.raises(UserError, match="two seeds or more"):
        parity.parity(setup.with_settings(seeds=1), "resnet18")


def test_the_text_gives_every_seed_and_the_interval() -> None:
    fast, plain = [70.0, 71.0, 72.5], [70.5, 70.0, 72.0]
    test = paired_t_test(np.array(fast) - np.array(plain))
    text = parity.as_text(parity.Parity("resnet18", fast, plain, test), "drawn faces")
    # differences -0.5, 1, 0.5: mean 1/3, sd 0.7638, half width 4.3027 * 0.7638 / sqrt(3) = 1.8973
    assert "difference +0.33 points, 95 % interval [-1.56, +2.23], n = 3 seeds" in text
    assert "seed 1: 71.00 and 70.00" in text
