"""Joint fusion that slows down the branch which contributes more than it usually does."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods._layers import Concatenation
from fusion_methods._registry import register_fusion

MOST = 10.0  # that the exponent of a factor may be, over its strength


@register_fusion(
    "agm",
    title="Joint fusion, AGM",
    reference="Li et al. 2023, ICCV (boosting multi-modal model performance with adaptive gradient modulation)",
    end_to_end=True,
)
class Agm(Concatenation):
    """Joint fusion whose backbones' gradients are scaled by how much each branch dominates.

    v(S) are the scores of `joint` where the features of the branches outside S are 0, and v of none is 0. A branch's
    contribution is its Shapley value phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (v(S and i) - v(S)), and
    s_i the batch's cross entropy of phi_i. With r_i = exp(mean over j ≠ i of s_j - s_i), and t_i the same of the s
    averaged over all earlier steps, the gradient of backbone i is multiplied by exp(strength * (t_i - r_i)).
    In the paper a branch that is absent has an input of 0, and the factor reaches the classifier too.
    Of a batch that is cut for want of memory, the last part gives the factors. Shapes: features (B, D_i) -> (B, C).
    """

    search_space: ClassVar = {"strength": [0.1, 0.3, 1.0], "width": [128, 256, 512], "dropout": [0.0, 0.2, 0.5]}
    average: Tensor
    steps: Tensor

    def __init__(
        self,
        feature_dims: Sequence[int],
        num_classes: int,
        *,
        strength: float = 0.3,
        width: int = 512,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(feature_dims, num_classes, width, dropout)
        self.strength = strength
        self.register_buffer("average", torch.zeros(len(feature_dims)))
        self.register_buffer("steps", torch.zeros(()))
        self.losses: Tensor | None = None

    def training_loss(self, scores: Tensor, branches: Sequence[BranchOutput], targets: Tensor) -> Tensor:
        """Return the cross entropy of the scores, and note that of each branch's contribution."""
        with torch.no_grad():
            found = self.contributions([branch.features for branch in branches])
            self.losses = torch.stack([F.cross_entropy(one, targets) for one in found])
        return F.cross_entropy(scores, targets)

    def contributions(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the Shapley value of every branch's presence in the scores, n times (B, C)."""
        everyone = range(len(features))
        value: dict[tuple[int, ...], Tensor | float] = {(): 0.0}
        for present in (one for size in everyone for one in combinations(everyone, size + 1)):
            rows = [x if i in present else torch.zeros_like(x) for i, x in enumerate(features)]
            value[present] = self.classifier(torch.cat(rows, dim=1))
        shares: list[Tensor] = []
        for i in everyone:
            absent = [present for present in value if i not in present]
            gains = [(value[tuple(sorted((*s, i)))] - value[s]) / comb(len(features) - 1, len(s)) for s in absent]
            shares.append(torch.as_tensor(sum(gains)) / len(features))
        return shares

    def adjust_gradients(self, backbones: Sequence[nn.Module]) -> None:
        """Multiply the gradient of each backbone by its factor, and average the losses so far."""
        if self.losses is None:
            return
        exponents = (_dominance(self.average) - _dominance(self.losses)).clamp(max=MOST)
        for backbone, factor in zip(backbones, torch.exp(self.strength * exponents), strict=True):
            for parameter in backbone.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)
        self.steps += 1
        self.average += (self.losses - self.average) / self.steps


def _dominance(losses: Tensor) -> Tensor:
    """Return exp(mean over j ≠ i of losses_j - losses_i), (n,)."""
    others = (losses.sum() - losses) / (len(losses) - 1)
    return torch.exp(others - losses)
