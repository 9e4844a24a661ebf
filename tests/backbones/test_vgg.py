"""VGG without its wide classifier starts as torchvision's VGG does."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torchvision import models

from backbones import build_backbone


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


@pytest.mark.parametrize("name", ["vgg11", "vgg13"])
def test_weights_are_drawn_from_torchvisions_distribution(name: str) -> None:
    torch.manual_seed(0)
    own = convolutions(build_backbone(name, 7))
    theirs = convolutions(models.get_model(name, weights=None).features)
    assert [layer.weight.shape for layer in own] == [layer.weight.shape for layer in theirs]
    for layer, other in zip(own, theirs, strict=True):
        spread = math.sqrt(2 / (9 * layer.out_channels))
        assert float(layer.weight.detach().std()) == pytest.approx(spread, rel=0.05)
        assert float(other.weight.detach().std()) == pytest.approx(spread, rel=0.05)
        assert not layer.bias.any()
        assert not other.bias.any()


@pytest.mark.parametrize("name", ["vgg11", "vgg13"])
def test_a_seed_draws_the_same_weights(name: str) -> None:
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        found.append(build_backbone(name, 7).state_dict())
    assert all(torch.equal(value, found[1][key]) for key, value in found[0].items())


def test_nothing_is_drawn_for_a_classifier_that_is_not_used() -> None:
    network = build_backbone("vgg13", 7)
    assert sum(weights.numel() for weights in network.parameters()) == 9_408_583
    assert {name.split(".")[0] for name, _ in network.named_parameters()} == {"body", "head"}
