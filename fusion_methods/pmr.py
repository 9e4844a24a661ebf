"""Joint fusion that pulls the features of the branch that lags towards the middle of their class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods._layers import Concatenation
from fusion_methods._registry import register_fusion


@register_fusion(
    "pmr",
    title="Joint fusion, PMR without its entropy term",
    reference="Fan et al. 2023, CVPR (PMR: prototypical modal rebalance for multimodal learning)",
    end_to_end=True,
)
class Pmr(Concatenation):
    """Joint fusion with a prototype for each class and branch, by which the branches that lag learn more.

    P_i are the prototypes of branch i, and p_i = softmax_c(-|f_i - P_ic|). With q_i the batch's mean of p_i at the
    right class, loss = CE(scores) + strength * sum_i clip(max_j q_j / q_i - 1, 0, 1) CE(p_i), the sum from the step on
    at which each class has a prototype; scores are those of `joint`.
    Every `refresh` steps, the prototype of each class in them becomes momentum * itself + (1 - momentum) * the mean of
    its features there, and stays as it is in between: prototypes that follow each batch are chased, and the features
    grow without end. The paper goes through a tenth of the data before each epoch for it. The paper's entropy term of
    the first epochs is left out. With frozen backbones it is `joint`. Shapes: features (B, D_i) -> (B, C).
    """

    search_space: ClassVar = {"strength": [0.3, 1.0, 3.0], "width": [128, 256, 512], "dropout": [0.0, 0.2, 0.5]}
    known: Tensor
    counts: Tensor
    steps: Tensor

    def __init__(
        self,
        feature_dims: Sequence[int],
        num_classes: int,
        *,
        strength: float = 1.0,
        momentum: float = 0.2,
        refresh: int = 40,
        width: int = 512,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(feature_dims, num_classes, width, dropout)
        self.strength, self.momentum, self.refresh = strength, momentum, refresh
        for i, dim in enumerate(feature_dims):
            self.register_buffer(f"prototypes_{i}", torch.zeros(num_classes, dim))
            self.register_buffer(f"sums_{i}", torch.zeros(num_classes, dim))
        self.register_buffer("known", torch.zeros(num_classes, dtype=torch.bool))
        self.register_buffer("counts", torch.zeros(num_classes, dtype=torch.long))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.batch: list[tuple[list[Tensor], Tensor]] = []

    def training_loss(self, scores: Tensor, branches: Sequence[BranchOutput], targets: Tensor) -> Tensor:
        """Return the cross entropy of the scores and, for the branches that lag, that of their prototypes."""
        fused = F.cross_entropy(scores, targets)
        shares = targets if targets.is_floating_point() else F.one_hot(targets, scores.shape[1])
        if branches[0].features.requires_grad:  # else no backbone learns, and no step will clear what is kept
            self.batch.append(([branch.features.detach() for branch in branches], shares.argmax(1)))
        near = [-torch.cdist(branch.features, self._prototypes(i)) for i, branch in enumerate(branches)]
        with torch.no_grad():
            right = torch.stack([(x.softmax(1) * shares).sum(1).mean() for x in near])
            lag = (right.max() / right - 1).clamp(0, 1) * self.known.all()
        own = torch.stack([F.cross_entropy(x, targets) for x in near])
        return fused + self.strength * (lag * own).sum()

    def _prototypes(self, branch: int) -> Tensor:
        found: Tensor = getattr(self, f"prototypes_{branch}")
        return found

    def adjust_gradients(self, backbones: Sequence[nn.Module]) -> None:
        """Gather the features of the batch, and move the prototypes when it is time; gradients stay as they are."""
        here = F.one_hot(torch.cat([labels for _, labels in self.batch]), len(self.known)).T  # (C, B)
        self.counts += here.sum(1)
        self.steps += 1
        due = self.steps % self.refresh == 0
        fresh = due & (self.counts > 0)
        kept = torch.where(self.known, self.momentum, 0.0)[:, None]
        for i in range(len(backbones)):
            old, sums = self._prototypes(i), getattr(self, f"sums_{i}")
            sums += here.to(sums.dtype) @ torch.cat([features[i] for features, _ in self.batch]).to(sums.dtype)
            means = sums / self.counts.clamp_min(1)[:, None]
            old.copy_(torch.where(fresh[:, None], kept * old + (1 - kept) * means, old))
            sums *= ~due
        self.counts *= ~due
        self.known |= fresh
        self.batch = []
