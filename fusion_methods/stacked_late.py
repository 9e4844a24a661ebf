"""Stacked late fusion: a second classifier learns what the branches' votes mean."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods._layers import stacked_log_probabilities
from fusion_methods._registry import register_fusion


@register_fusion(
    "stacked-late",
    title="Stacked late fusion",
    reference="Wolpert 1992, Neural Networks 5:241-259; Ting and Witten 1999, JAIR 10:271-289",
)
class StackedLateFusion(nn.Module):
    """Regress the class on the branches' log-probabilities (multinomial logistic regression).

    scores = W [log softmax(logits_1); ...; log softmax(logits_n)] + b. W starts as n identities divided by n and b at
    zero, which is the geometric mean of the branches' probabilities. The stage-1 networks are frozen, and their
    logits for the images that they learnt from are surer than those for new images: stacking means out-of-fold
    logits, so without cross-fitting W learns from votes that are too good.
    Shapes: n times logits (B, C) -> (B, C).
    """

    def __init__(self, feature_dims: Sequence[int], num_classes: int) -> None:
        super().__init__()
        branches = len(feature_dims)
        self.regression = nn.Linear(branches * num_classes, num_classes)
        with torch.no_grad():
            self.regression.weight.copy_(torch.eye(num_classes).repeat(1, branches) / branches)
            self.regression.bias.zero_()

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        votes = stacked_log_probabilities(branches)  # (n, B, C)
        scores: Tensor = self.regression(votes.transpose(0, 1).flatten(1))
        return scores
