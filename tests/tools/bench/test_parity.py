"""Both paths take the same steps, select by validation and report the test accuracy of that epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.config import UserError
from benchmark.statistics.paired import paired_t_test
from benchmark.training.backbone import initial_backbone
from benchmark.training.small_maps import SmallMapConv2d
from benchmark.training.workspace import Workspace
from tools.bench import parity
from tools.bench.setup import Setup


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
    stage = setup.settings.backbone_stage.model_copy(update={"schedule": "cosine", "warmup": 0.2})
    setup = setup.with_settings(backbone_stage=stage)
    run, workspace = next(run for run in setup.plan if run.kind == "backbone"), setup.workspace
    batches = list(workspace.image_batches(run, workspace.split(run.seed).train, 1))[:3]
    monkeypatch.setattr(Workspace, "image_batches", lambda *_: batches)
    fast = parity.train_without_artifacts(run, workspace).history[0]["train_loss"]

    losses: list[float] = []
    learn = parity.PlainTraining._learn

    def learn_from_them(self: parity.PlainTraining, *rest: Any) -> None:
        self.train = batches  # type: ignore[assignment]
        losses.append(learn(self, *rest))

    monkeypatch.setattr(parity.PlainTraining, "_learn", learn_from_them)
    parity._plain(run, setup)
    assert losses[0] / len(batches) == pytest.approx(fast, rel=1e-3)  # rounding: 1e-5; a rate 5 % off: 5e-3


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
