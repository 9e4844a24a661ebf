"""Feature-wise linear modulation: one branch sees, the others say what to look for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods._layers import mlp
from fusion_methods._registry import register_fusion


@register_fusion(
    "film", title="FiLM", reference="Perez et al. 2018, FiLM: Visual Reasoning with a General Conditioning Layer"
)
class FeatureWiseModulation(nn.Module):
    """Scale and shift each feature of the first branch by what the other branches predict.

    [Δγ; β] = W [f_2; ...; f_n] + b; y = relu((1 + Δγ) ⊗ f_1 + β); scores = MLP(y). The branches' order matters: the
    first is modulated, the others modulate. Shapes: features (B, D_i) -> (B, C).
    """

    search_space: ClassVar = {"width": [128, 256, 512], "dropout": [0.0, 0.2, 0.5]}

    def __init__(
        self, feature_dims: Sequence[int], num_classes: int, *, width: int = 512, dropout: float = 0.0
    ) -> None:
        super().__init__()
        first, *others = feature_dims
        self.modulation = nn.Linear(sum(others), 2 * first)
        self.classifier = mlp(first, width, num_classes, dropout)

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        first, *others = (branch.features for branch in branches)
        scale, shift = self.modulation(torch.cat(others, dim=1)).chunk(2, dim=1)
        scores: Tensor = self.classifier(F.relu((1 + scale) * first + shift))
        return scores
