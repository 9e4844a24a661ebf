"""Trusted fusion: branches give evidence for the classes, and Dempster's rule combines it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods._registry import register_fusion


@register_fusion(
    "evidential", title="Evidential fusion", reference="Han et al. 2021, ICLR (trusted multi-view classification)"
)
class Evidential(nn.Module):
    """Combine the branches' Dirichlet distributions by the reduced rule of Dempster.

    e_i = softplus(W_i f_i + b_i), a_i = e_i + 1, S_i = sum_c a_ic; belief b_i = e_i / S_i, doubt u_i = C / S_i. Two
    branches give b = (b_1 b_2 + b_1 u_2 + b_2 u_1) / (1 - K), u = u_1 u_2 / (1 - K), K = sum_{c ≠ d} b_1c b_2d, and the
    next is combined with the result. scores = log(a / S), so that the softmax is the distribution's mean. The loss is
    the sum over branches and their combination of E[cross entropy] + weight * KL(Dir(a without the right class's
    evidence) | Dir(1)); in the paper the weight grows from 0 over the epochs. Shapes: features (B, D_i) -> (B, C).
    """

    search_space: ClassVar = {"weight": [0.0, 0.01, 0.1, 1.0]}

    def __init__(self, feature_dims: Sequence[int], num_classes: int, *, weight: float = 0.1) -> None:
        super().__init__()
        self.evidence = nn.ModuleList(nn.Linear(dim, num_classes) for dim in feature_dims)
        self.weight = weight

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        combined = combine(self._concentrations(branches))
        return torch.log(combined / combined.sum(1, keepdim=True))

    def _concentrations(self, branches: Sequence[BranchOutput]) -> list[Tensor]:
        return [F.softplus(layer(x.features)) + 1 for layer, x in zip(self.evidence, branches, strict=True)]

    def training_loss(self, scores: Tensor, branches: Sequence[BranchOutput], targets: Tensor) -> Tensor:
        """Return the loss of every branch's distribution and of the combined one, added up."""
        shares = targets if targets.is_floating_point() else F.one_hot(targets, scores.shape[1]).to(scores.dtype)
        own = self._concentrations(branches)
        losses = [_expected_loss(a, shares) + self.weight * _misleading(a, shares) for a in [*own, combine(own)]]
        return torch.stack(losses).sum()


def combine(concentrations: Sequence[Tensor]) -> Tensor:
    """Combine Dirichlet concentrations, n times (B, C) -> (B, C), one by one, by the reduced Dempster's rule."""
    combined = concentrations[0]
    for other in concentrations[1:]:
        classes = combined.shape[1]
        totals = combined.sum(1, keepdim=True), other.sum(1, keepdim=True)
        (b, u), (c, v) = (((a - 1) / s, classes / s) for a, s in zip((combined, other), totals, strict=True))
        belief = b * c + b * v + c * u
        agreed = belief.sum(1, keepdim=True) + u * v  # 1 - K
        combined = belief / agreed * (classes / (u * v / agreed)) + 1
    return combined


def _expected_loss(a: Tensor, shares: Tensor) -> Tensor:
    """Return the mean over images of the expected cross entropy under Dir(a)."""
    return (shares * (torch.digamma(a.sum(1, keepdim=True)) - torch.digamma(a))).sum(1).mean()


def _misleading(a: Tensor, shares: Tensor) -> Tensor:
    """Return the mean over images of KL(Dir(a~) | Dir(1)), a~ being `a` without what speaks for the right class."""
    a = shares + (1 - shares) * a
    total, classes = a.sum(1), a.shape[1]
    normaliser = torch.lgamma(total) - torch.lgamma(a).sum(1) - torch.lgamma(total.new_tensor(float(classes)))
    return (normaliser + ((a - 1) * (torch.digamma(a) - torch.digamma(total)[:, None])).sum(1)).mean()
