"""Heads that a stack would get wrong, or that `torch.vmap` refuses, as a user may write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods import FUSION_METHODS, register_fusion


class Head(nn.Module):
    """One layer over the joined features, after something awkward."""

    def __init__(self, feature_dims: Sequence[int], num_classes: int) -> None:
        super().__init__()
        width = sum(feature_dims)
        self.layer = nn.Linear(width, num_classes)
        self.prepare(width)

    def prepare(self, width: int) -> None:
        """Make what the head has besides its layer."""

    def change(self, x: Tensor) -> Tensor:
        """Do to (B, D) features what is awkward."""
        return x

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        scores: Tensor = self.layer(self.change(torch.cat([branch.features for branch in branches], dim=1)))
        return scores


class FunctionalDropout(Head):
    def change(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.3, self.training)


class ChannelDropout(Head):
    def prepare(self, width: int) -> None:
        self.drop = nn.Dropout1d(0.3)

    def change(self, x: Tensor) -> Tensor:
        return self.drop(x)


class RandomSlope(Head):
    def prepare(self, width: int) -> None:
        self.relu = nn.RReLU()

    def change(self, x: Tensor) -> Tensor:
        return self.relu(x - 0.5)


class Branching(Head):
    def change(self, x: Tensor) -> Tensor:
        return x if x.mean() > 0 else -x


class Normalised(Head):
    def prepare(self, width: int) -> None:
        self.norm = nn.BatchNorm1d(width)

    def change(self, x: Tensor) -> Tensor:
        return self.norm(x)


class DrawnConstant(Head):
    """Its heads differ in a tensor that is neither a weight nor a buffer."""

    def prepare(self, width: int) -> None:
        self.signs = torch.randn(width).sign()

    def change(self, x: Tensor) -> Tensor:
        return x * self.signs.to(x.device)


class OtherInTraining(Head):
    """It can be stacked, if the mode reaches it."""

    def change(self, x: Tensor) -> Tensor:
        return 2 * x if self.training else x


class PartlyFrozen(Head):
    """It can be stacked, if what is frozen stays so."""

    def prepare(self, width: int) -> None:
        self.layer.get_parameter("bias").requires_grad_(False)


UNSTACKABLE: dict[str, Callable[..., nn.Module]] = {
    "channel-dropout": ChannelDropout,
    "random-slope": RandomSlope,
    "normalised": Normalised,
}
REFUSED: dict[str, Callable[..., nn.Module]] = {
    "functional-dropout": FunctionalDropout,
    "branching": Branching,
    "drawn-constant": DrawnConstant,
}
STACKABLE: dict[str, Callable[..., nn.Module]] = {"other-in-training": OtherInTraining, "partly-frozen": PartlyFrozen}


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register all of them until the test ends."""
    monkeypatch.setattr(FUSION_METHODS, "_entries", dict(FUSION_METHODS._entries))
    for name, build in {**UNSTACKABLE, **REFUSED, **STACKABLE}.items():
        register_fusion(name, title=name, reference="made for the tests")(build)
