"""The multimodal transfer module: the networks tell each other which channels matter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods._layers import feature_maps
from fusion_methods._registry import register_fusion


@register_fusion(
    "mmtm",
    title="MMTM",
    reference="Joze et al. 2020, MMTM: Multimodal Transfer Module for CNN Fusion",
    end_to_end=True,
)
class MultimodalTransfer(nn.Module):
    """Squeeze all networks' feature maps into one vector that excites or quiets the channels of each.

    s_i = mean over positions of m_i; z = relu(W [s_1; ...; s_n] + b); gate_i = 2σ(E_i z + e_i); each gated map
    gate_i ⊗ m_i is averaged over its positions and classified by a layer of its own, and the networks' class scores
    are averaged: scores = 1/n sum_i (H_i mean(gate_i ⊗ m_i) + c_i). The module sits at the last feature map only, where
    gating and averaging commute, so that mean(gate_i ⊗ m_i) = gate_i ⊗ s_i. z has sum(D_i) / `ratio` entries;
    its relu is in the paper's published program, not in its formula.
    Shapes: maps (B, D_i, h_i, w_i) -> (B, C).
    """

    uses_maps = True
    search_space: ClassVar = {"ratio": [2, 4, 8], "dropout": [0.0, 0.2, 0.5]}

    def __init__(self, feature_dims: Sequence[int], num_classes: int, *, ratio: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.channels = tuple(feature_dims)
        joint = max(1, sum(feature_dims) // ratio)
        self.squeeze = nn.Linear(sum(feature_dims), joint)
        self.excite = nn.ModuleList(nn.Linear(joint, dim) for dim in feature_dims)
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleList(nn.Linear(dim, num_classes) for dim in feature_dims)

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        squeezed = [x.mean(dim=(2, 3)) for x in feature_maps(branches, self.channels, "mmtm")]
        joint = F.relu(self.squeeze(torch.cat(squeezed, dim=1)))
        scores = [
            head(self.dropout(2 * torch.sigmoid(excite(joint)) * s))
            for s, excite, head in zip(squeezed, self.excite, self.heads, strict=True)
        ]
        return torch.stack(scores).mean(dim=0)
