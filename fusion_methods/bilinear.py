"""Bilinear fusion: hidden units of the branches multiply."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import ClassVar

import torch
from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods._layers import Projections
from fusion_methods._registry import register_fusion


@register_fusion(
    "bilinear",
    title="Bilinear fusion",
    reference="Kim et al. 2017, Hadamard Product for Low-rank Bilinear Pooling",
)
class BilinearFusion(nn.Module):
    """Multiply the branches' projections unit by unit: low-rank bilinear pooling.

    scores = P (tanh(U_1 f_1 + b_1) ⊗ ... ⊗ tanh(U_n f_n + b_n)) + b, after dropout on the product. With two branches
    every score is a bilinear form of rank at most `width`, but for tanh; with n it is n-linear.
    Shapes: features (B, D_i) -> (B, C).
    """

    search_space: ClassVar = {"width": [256, 512, 1024], "dropout": [0.0, 0.2, 0.5]}

    def __init__(
        self, feature_dims: Sequence[int], num_classes: int, *, width: int = 512, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.project = Projections(feature_dims, width, torch.tanh)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, num_classes))

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        product = reduce(torch.mul, self.project([branch.features for branch in branches]))
        scores: Tensor = self.classifier(product)
        return scores
