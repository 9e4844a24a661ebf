"""Joint fusion that slows down the branch which contributes most to the right class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods._registry import register_fusion


@register_fusion(
    "ogm-ge",
    title="Joint fusion, OGM-GE",
    reference="Peng et al. 2022, CVPR (balanced multimodal learning by on-the-fly gradient modulation)",
    end_to_end=True,
)
class OgmGe(nn.Module):
    """Add up one linear classifier for each branch, and modulate the gradients of the backbones.

    scores = sum_i (W_i f_i + b / n). With s_i the batch's mean of softmax(W_i f_i + b / n) at the right class, and
    r_i = s_i / mean of the others' s, the gradient of backbone i is multiplied by k_i = 1 - tanh(strength * r_i) where
    r_i > 1, by 1 elsewhere, and noise of the gradient's own standard deviation is added to it (GE), tensor by tensor.
    That is done to weights alone, as in the authors' code: biases and normalisation learn as they would.
    Of a batch that is cut for want of memory, the last part gives the k. Shapes: features (B, D_i) -> (B, C).
    """

    search_space: ClassVar = {"strength": [0.1, 0.3, 0.5, 0.8], "noise": [True, False]}

    def __init__(
        self, feature_dims: Sequence[int], num_classes: int, *, strength: float = 0.3, noise: bool = True
    ) -> None:
        super().__init__()
        self.classifiers = nn.ModuleList(nn.Linear(dim, num_classes, bias=False) for dim in feature_dims)
        self.bias = nn.Parameter(torch.zeros(num_classes))
        self.strength, self.noise = strength, noise
        self.factors: list[Tensor] = []

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        return torch.stack(self._contributions(branches)).sum(0)

    def _contributions(self, branches: Sequence[BranchOutput]) -> list[Tensor]:
        share = self.bias / len(branches)
        return [layer(branch.features) + share for layer, branch in zip(self.classifiers, branches, strict=True)]

    def training_loss(self, scores: Tensor, branches: Sequence[BranchOutput], targets: Tensor) -> Tensor:
        """Return the cross entropy of the scores, and note by how much each branch's gradient is to shrink."""
        with torch.no_grad():
            own = F.one_hot(targets, scores.shape[1]) if not targets.is_floating_point() else targets
            right = torch.stack([(x.softmax(1) * own).sum(1).mean() for x in self._contributions(branches)])
            ratio = right / ((right.sum() - right) / (len(branches) - 1))
            self.factors = list(torch.where(ratio > 1, 1 - torch.tanh(self.strength * ratio), 1.0))
        return F.cross_entropy(scores, targets)

    def adjust_gradients(self, backbones: Sequence[nn.Module]) -> None:
        """Multiply the gradient of each backbone's weights by its factor, and add noise."""
        for backbone, factor in zip(backbones, self.factors, strict=True):
            for parameter in backbone.parameters():
                if parameter.grad is not None and parameter.ndim > 1:
                    spread = parameter.grad.std(correction=0)
                    parameter.grad.mul_(factor)
                    if self.noise:
                        parameter.grad.add_(torch.randn_like(parameter.grad) * spread)
