"""Late fusion that trusts a branch more, image by image, the more certain it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods._registry import register_fusion


@register_fusion(
    "energy-weighted",
    title="Energy-weighted late fusion",
    reference="Zhang et al. 2023, ICML (QMF's weights, without its training of the branches)",
)
class EnergyWeighted(nn.Module):
    """Weigh each branch's logits by its energy score, which is large where the branch is certain.

    scores = sum_i w_i logits_i, w_i = log sum_c exp(logits_ic / temperature) * temperature / 10. Nothing is learnt.
    Shapes: n times logits (B, C) -> (B, C).
    """

    search_space: ClassVar = {"temperature": [0.5, 1.0, 2.0]}

    def __init__(self, feature_dims: Sequence[int], num_classes: int, *, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        logits = torch.stack([branch.logits for branch in branches])
        energy = self.temperature * torch.logsumexp(logits / self.temperature, dim=2, keepdim=True)
        return (energy / 10 * logits).sum(0)
