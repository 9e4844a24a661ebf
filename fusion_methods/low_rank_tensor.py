"""Low-rank tensor fusion: tensor fusion whose tensor is never formed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods._layers import Projections
from fusion_methods._registry import register_fusion


@register_fusion(
    "low-rank-tensor",
    title="Low-rank tensor fusion",
    reference="Liu et al. 2018, Efficient Low-rank Multimodal Fusion with Modality-Specific Factors",
)
class LowRankTensorFusion(nn.Module):
    """Multiply the branches' projections unit by unit, `rank` times, and add: tensor fusion with low-rank weights.

    z_i = [relu(W_i f_i + b_i); 1]; h = sum_r prod_i F_i^(r) z_i + c, which is what a layer on the outer product of the
    z_i gives if its weights are sum_r F_1^(r) ⊗ ... ⊗ F_n^(r); scores = W dropout(relu(h)) + b.
    Shapes: features (B, D_i), factors F_i (rank, width + 1, hidden) -> (B, C).
    """

    search_space: ClassVar = {"rank": [1, 4, 8, 16], "width": [64, 128, 256], "dropout": [0.0, 0.2, 0.5]}

    def __init__(
        self,
        feature_dims: Sequence[int],
        num_classes: int,
        *,
        rank: int = 4,
        width: int = 128,
        hidden: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.project = Projections(feature_dims, width, F.relu)
        self.factors = nn.ParameterList(torch.empty(rank, width + 1, hidden) for _ in feature_dims)
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.classifier = nn.Sequential(nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, num_classes))
        # Rectified entries carry half their energy, and the sum of `rank` products should vary like one of them.
        spread = math.sqrt(2 / (width + 1)) * rank ** (-0.5 / len(feature_dims))
        for factor in self.factors:
            nn.init.normal_(factor, std=spread)

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        with_ones = [F.pad(z, (0, 1), value=1.0) for z in self.project([branch.features for branch in branches])]
        images = [torch.einsum("bd,rdh->rbh", z, factor) for z, factor in zip(with_ones, self.factors, strict=True)]
        scores: Tensor = self.classifier(reduce(torch.mul, images).sum(dim=0) + self.bias)
        return scores
