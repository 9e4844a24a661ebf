"""Layers that several fusion methods are made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
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
