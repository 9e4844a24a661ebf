"""Methods whose best setting is known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods import register_fusion


@register_fusion("planted", title="Planted", reference="made for the tests")
class Planted(nn.Module):
    """Shift the first branch's scores by some classes: only a shift of 0 names the class that was seen."""

    search_space: ClassVar = {"shift": [0, 1, 2, 3, 4, 5, 6]}

    def __init__(self, feature_dims: Sequence[int], num_classes: int, *, shift: int = 3) -> None:
        super().__init__()
        self.shift = shift
        self.unused = nn.Parameter(torch.zeros(num_classes))

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        return torch.roll(branches[0].logits, self.shift, dims=1) + 0 * self.unused


@register_fusion("fits-test", title="Fits the test set", reference="made for the tests")
class FitsTest(nn.Module):
    """Answer training images alike whatever the setting, and images with a mark, which test images have, by it."""

    search_space: ClassVar = {"guess": [0, 1, 2, 3, 4, 5, 6]}

    def __init__(self, feature_dims: Sequence[int], num_classes: int, *, guess: int = 0) -> None:
        super().__init__()
        self.guess = guess
        self.unused = nn.Parameter(torch.zeros(num_classes))

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        marked = branches[0].features[:, :1].abs() > 100
        guess = nn.functional.one_hot(torch.tensor(self.guess), self.unused.numel()).float()
        return torch.where(marked, 10 * guess, branches[0].logits) + 0 * self.unused
