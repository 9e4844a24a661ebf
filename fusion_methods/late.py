"""Late fusion: the branches vote with their probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods._registry import register_fusion


@register_fusion("late", title="Late fusion", reference="Gadzicki et al. 2020; Kittler et al. 1998 (sum rule)")
class LateFusion(nn.Module):
    """Average the branches' softmax outputs.

    scores = log(1/n * sum_i softmax(logits_i)), so that softmax(scores) is the mean probability. Nothing is learnt.
    Shapes: n times logits (B, C) -> (B, C).
    """

    def __init__(self, feature_dims: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.branches = len(feature_dims)

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        log_probabilities = torch.stack([F.log_softmax(branch.logits, dim=1) for branch in branches])
        return torch.logsumexp(log_probabilities, dim=0) - math.log(self.branches)
