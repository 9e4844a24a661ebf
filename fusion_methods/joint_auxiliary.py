"""Joint fusion whose branches also learn to classify alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from backbones import BranchOutput
from fusion_methods._layers import Concatenation
from fusion_methods._registry import register_fusion


@register_fusion(
    "joint-auxiliary",
    title="Joint fusion with a loss for each branch",
    reference="Wang, Tran and Feiszli 2020, CVPR (Gradient-Blending's losses with equal weights)",
    end_to_end=True,
)
class JointAuxiliary(Concatenation):
    """Joint fusion with a cross entropy for each branch's own logits, so that no branch is left behind.

    loss = CE(scores) + weight / n * sum_i CE(logits_i); scores are those of `joint`. Shapes: features (B, D_i),
    logits (B, C) -> (B, C).
    """

    search_space: ClassVar = {"weight": [0.1, 0.3, 1.0, 3.0], "width": [128, 256, 512], "dropout": [0.0, 0.2, 0.5]}

    def __init__(
        self,
        feature_dims: Sequence[int],
        num_classes: int,
        *,
        weight: float = 1.0,
        width: int = 512,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(feature_dims, num_classes, width, dropout)
        self.weight = weight

    def training_loss(self, scores: Tensor, branches: Sequence[BranchOutput], targets: Tensor) -> Tensor:
        """Return the fused cross entropy and the weighted mean of the branches' own."""
        own = sum(F.cross_entropy(branch.logits, targets) for branch in branches)
        return F.cross_entropy(scores, targets) + self.weight / len(branches) * own
