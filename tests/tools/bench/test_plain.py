"""The plain way does the same work as the suite."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler

from backbones import build_backbone
from benchmark.training.backbone import Logits, train_without_artifacts
from fusion_methods import build_fusion
from tools.bench.plain import Images, PlainTraining
from tools.bench.setup import Setup


def test_unchanged_images_are_those_that_the_suite_evaluates(setup: Setup) -> None:
    workspace = setup.workspace
    rows = workspace.split(0).test[:6]
    mine = torch.stack([image for image, _ in (Images(workspace, rows)[i] for i in range(6))])
    # The suite decodes to whole numbers at this size, as PIL does; the two differ by rounding alone.
    torch.testing.assert_close(mine, workspace.network_input(rows).contiguous(), atol=1e-4, rtol=0)
    assert [label for _, label in (Images(workspace, rows)[i] for i in range(6))] == workspace.manifest.labels[
        rows
    ].tolist()


def test_training_sees_every_image_of_the_split_once_an_epoch_and_changes_it(setup: Setup) -> None:
    workspace = setup.workspace
    training = PlainTraining(workspace, 0, setup.settings.backbone_stage, 0)
    seen = torch.cat([images for images, _ in training.train])
    split = workspace.split(0)
    assert len(seen) == len(split.train)
    plain = workspace.network_input(split.train)
    unchanged = (seen[:, None] - plain[None]).abs().flatten(2).amax(2).amin(1) < 1e-3
    assert unchanged.float().mean() < 0.2
    assert [len(loader.dataset) for loader in training.looks.values()] == [len(split.validation), len(split.test)]  # type: ignore[arg-type]


def test_a_network_learns_and_its_scores_are_in_file_order(setup: Setup) -> None:
    workspace = setup.workspace
    torch.manual_seed(0)
    network = Logits(build_backbone("resnet18", 7), "float32")
    before = [value.detach().clone() for value in network.parameters()]
    first, second = PlainTraining(workspace, 0, setup.settings.backbone_stage, 0).epochs(network, 2)
    assert not np.array_equal(first["test"], second["test"])
    assert not any(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))
    with torch.no_grad():
        expected = network.eval()(workspace.network_input(workspace.split(0).test)).numpy()
    np.testing.assert_allclose(second["test"], expected, atol=1e-3)


def test_every_epoch_begins_at_the_rate_of_the_suite(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = setup.settings.backbone_stage.model_copy(update={"epochs": 3, "schedule": "cosine", "warmup": 0.5})
    setup = setup.with_settings(backbone_stage=stage)
    run = next(run for run in setup.plan if run.kind == "backbone")
    expected = [row["learning_rate"] for row in train_without_artifacts(run, setup.workspace).history]
    rates: list[float] = []

    def learn(self: PlainTraining, _: object, optimizer: torch.optim.Optimizer, schedule: LRScheduler) -> float:
        rates.append(optimizer.param_groups[0]["lr"])
        for _ in self.train:
            optimizer.step()
            schedule.step()
        return 0.0

    monkeypatch.setattr(PlainTraining, "_learn", learn)
    PlainTraining(setup.workspace, run.seed, stage, 0).epochs(Logits(build_backbone("resnet18", 7), "float32"), 3)
    assert len(set(expected)) == 3
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


def test_frozen_backbones_stay_as_they_are(setup: Setup) -> None:
    torch.manual_seed(0)
    backbones = [build_backbone("resnet18", 7).eval() for _ in range(2)]
    before = [{name: value.clone() for name, value in backbone.state_dict().items()} for backbone in backbones]
    head = build_fusion("early", (512, 512), 7)
    start = {name: value.clone() for name, value in head.state_dict().items()}
    PlainTraining(setup.workspace, 0, setup.settings.fusion_stage, 0, backbones).epochs(head, 1)
    for backbone, kept in zip(backbones, before, strict=True):
        assert all(torch.equal(value, kept[name]) for name, value in backbone.state_dict().items())
    assert all(not torch.equal(value, start[name]) for name, value in head.state_dict().items())


@pytest.mark.parametrize("removed", [(0.0, 0.0), (1.0, 1.0)])
def test_the_share_of_colour_that_is_removed_is_the_settings_own(setup: Setup, removed: tuple[float, float]) -> None:
    settings = setup.settings.augmentation.model_copy(update={"remove_saturation": removed})
    changed = setup.with_settings(augmentation=settings)
    images, _ = next(iter(PlainTraining(changed.workspace, 0, changed.settings.backbone_stage, 0).train))
    from benchmark.data.augmentation import IMAGENET_MEAN, IMAGENET_STD

    pixels = images * torch.tensor(IMAGENET_STD).view(1, 3, 1, 1) + torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    spread = (pixels.amax(1) - pixels.amin(1)).mean().item()
    assert (spread < 0.01) is (removed == (1.0, 1.0))
