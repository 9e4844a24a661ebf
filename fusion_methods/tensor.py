"""Tensor fusion: every product of the branches' features, of all orders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods._layers import Projections, mlp
from fusion_methods._registry import register_fusion

LARGEST_TENSOR = 2**19


@register_fusion("tensor", title="Tensor fusion", reference="Zadeh et al. 2017, Tensor Fusion Network")
class TensorFusion(nn.Module):
    """Classify the outer product of the branches' features, each with a one appended.

    z_i = [relu(W_i f_i + b_i); 1]; Z = z_1 ⊗ ... ⊗ z_n; scores = MLP(dropout(vec Z)). The ones keep every branch
    alone and every product of fewer branches among the (width + 1)^n entries; `width` keeps that number feasible.
    Shapes: features (B, D_i) -> (B, C).
    """

    search_space: ClassVar = {"width": [16, 32, 64], "hidden": [64, 128, 256], "dropout": [0.0, 0.2, 0.5]}

    def __init__(
        self,
        feature_dims: Sequence[int],
        num_classes: int,
        *,
        width: int = 32,
        hidden: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        entries = (width + 1) ** len(feature_dims)
        if entries > LARGEST_TENSOR:
            raise ValueError(
                f"tensor fusion of {len(feature_dims)} branches at width={width} has {entries:,} entries per image, "
                f"more than {LARGEST_TENSOR:,}; lower the width or use low-rank-tensor"
            )
        self.project = Projections(feature_dims, width, F.relu)
        self.dropout = nn.Dropout(dropout)
        self.classifier = mlp(entries, hidden, num_classes)

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        with_ones = [F.pad(z, (0, 1), value=1.0) for z in self.project([branch.features for branch in branches])]
        product = with_ones[0]
        for z in with_ones[1:]:
            product = torch.einsum("bi,bj->bij", product, z).flatten(1)
        scores: Tensor = self.classifier(self.dropout(product))
        return scores
