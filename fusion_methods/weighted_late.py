"""Weighted late fusion: some branches' votes count for more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods._layers import stacked_log_probabilities
from fusion_methods._registry import register_fusion


@register_fusion("weighted-late", title="Weighted late fusion", reference="Jacobs 1995, Neural Computation 7:867-888")
class WeightedLateFusion(nn.Module):
    """Average the branches' softmax outputs with learnt weights, one per branch.

    w = softmax(scale * a); scores = log(sum_i w_i softmax(logits_i)), the linear opinion pool. `a` starts at zero, so
    that training starts from late fusion; `scale` lets these n numbers move as far in a few hundred steps as the many
    of a layer do together. The weights see the logits that stage 1 gives to its own training images.
    Shapes: n times logits (B, C) -> (B, C).
    """

    search_space: ClassVar = {"scale": [1.0, 10.0, 30.0]}

    def __init__(self, feature_dims: Sequence[int], num_classes: int, *, scale: float = 10.0) -> None:
        super().__init__()
        self.scale = scale
        self.weights = nn.Parameter(torch.zeros(len(feature_dims)))

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        log_weights = F.log_softmax(self.scale * self.weights, dim=0)
        return torch.logsumexp(stacked_log_probabilities(branches) + log_weights[:, None, None], dim=0)
