"""Layers that several fusion methods are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import BranchOutput


def mlp(inputs: int, hidden: int, outputs: int, dropout: float = 0.0) -> nn.Sequential:
    """Return linear, ReLU, dropout, linear: (..., inputs) -> (..., outputs)."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, outputs))


class ToWidth(nn.ModuleList):
    """Bring the features of every branch to one width; a branch that has it already passes unchanged."""

    def __init__(self, feature_dims: Sequence[int], width: int) -> None:
        super().__init__(nn.Identity() if dim == width else nn.Linear(dim, width) for dim in feature_dims)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return [layer(x) for layer, x in zip(self, features, strict=True)]


class Concatenation(nn.Module):
    """Classify the joined features of all branches by a perceptron: W2 relu(W1 [f_1; ...; f_n] + b1) + b2."""

    def __init__(self, feature_dims: Sequence[int], num_classes: int, width: int, dropout: float) -> None:
        super().__init__()
        self.classifier = mlp(sum(feature_dims), width, num_classes, dropout)

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        scores: Tensor = self.classifier(torch.cat([branch.features for branch in branches], dim=1))
        return scores


class Projections(nn.ModuleList):
    """Give every branch a linear layer of its own and a nonlinearity: f_i (B, D_i) -> a(W_i f_i + b_i) (B, width)."""

    def __init__(
        self, feature_dims: Sequence[int], width: int, activation: Callable[[Tensor], Tensor], *, bias: bool = True
    ) -> None:
        super().__init__(nn.Linear(dim, width, bias=bias) for dim in feature_dims)
        self.activation = activation

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return [self.activation(layer(x)) for layer, x in zip(self, features, strict=True)]


def stacked_log_probabilities(branches: Sequence[BranchOutput]) -> Tensor:
    """Return log softmax of every branch's logits, (n, B, C) for n branches."""
    return torch.stack([F.log_softmax(branch.logits, dim=1) for branch in branches])


def feature_maps(branches: Sequence[BranchOutput], channels: Sequence[int], method: str) -> list[Tensor]:
    """Return every branch's last feature map, (B, D_i, h_i, w_i) with the D_i that `channels` names, for `method`.

    Raises:
        ValueError: a branch has no map, or one with more or fewer channels than it has features.
    """
    maps = [branch.maps for branch in branches if branch.maps is not None]
    if len(maps) < len(branches):
        raise ValueError(f"{method} reads feature maps; use backbones that have them, such as ResNet and VGG")
    if any(x.shape[1] != size for x, size in zip(maps, channels, strict=True)):
        found = ", ".join(str(x.shape[1]) for x in maps)
        expected = ", ".join(map(str, channels))
        raise ValueError(
            f"{method} needs feature maps with as many channels as there are features ({expected}), not {found}; use "
            "backbones whose features are pooled from their map, such as vgg11:head=pooled"
        )
    return maps
