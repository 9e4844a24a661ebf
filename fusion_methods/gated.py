"""Gated fusion: for every hidden unit a gate chooses between the branches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods._layers import Projections
from fusion_methods._registry import register_fusion


@register_fusion("gated", title="Gated fusion", reference="Arevalo et al. 2017, Gated Multimodal Units")
class GatedFusion(nn.Module):
    """Mix the branches' hidden units by gates that all branches together decide (gated multimodal unit).

    h_i = tanh(V_i f_i). Two branches share one gate: z = σ(U [f_1; f_2]), h = z ⊗ h_1 + (1 - z) ⊗ h_2. More have one
    each: z_i = σ(U_i [f_1; ...; f_n]), h = sum_i z_i ⊗ h_i. scores = W h + b, after dropout on h.
    Shapes: features (B, D_i) -> (B, C).
    """

    search_space: ClassVar = {"width": [128, 256, 512], "dropout": [0.0, 0.2, 0.5]}

    def __init__(
        self, feature_dims: Sequence[int], num_classes: int, *, width: int = 512, dropout: float = 0.0
    ) -> None:
        super().__init__()
        gates = 1 if len(feature_dims) == 2 else len(feature_dims)
        self.project = Projections(feature_dims, width, torch.tanh, bias=False)
        self.gate = nn.Linear(sum(feature_dims), gates * width, bias=False)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, num_classes))

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        features = [branch.features for branch in branches]
        hidden = torch.stack(self.project(features), dim=1)  # (B, n, width)
        gates = torch.sigmoid(self.gate(torch.cat(features, dim=1))).unflatten(1, (-1, hidden.shape[2]))
        if len(branches) == 2:
            gates = torch.cat([gates, 1 - gates], dim=1)
        scores: Tensor = self.classifier((gates * hidden).sum(dim=1))
        return scores
