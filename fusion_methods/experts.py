"""A mixture of experts: a router decides image by image whose classifier to trust."""

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
    "experts",
    title="Mixture of experts",
    reference="Jacobs et al. 1991 (the mixture); Shazeer et al. 2017, ICLR (the balance of the router)",
)
class Experts(nn.Module):
    """Mix the class probabilities of an expert for each branch and one for all of them together.

    g = softmax(R [f_1; ...; f_n] + r), (B, n + 1); expert i is a perceptron on f_i, the last one on [f_1; ...; f_n].
    scores = log sum_k g_k softmax(x_k). loss = CE(scores) + balance * (coefficient of variation of each expert's mean
    g over the batch)², which keeps the router from forgetting an expert. Shapes: features (B, D_i) -> (B, C).
    """

    search_space: ClassVar = {"balance": [0.0, 0.01, 0.1], "width": [64, 128, 256], "dropout": [0.0, 0.2, 0.5]}

    def __init__(
        self,
        feature_dims: Sequence[int],
        num_classes: int,
        *,
        balance: float = 0.01,
        width: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        every = sum(feature_dims)
        self.experts = nn.ModuleList(mlp(dim, width, num_classes, dropout) for dim in (*feature_dims, every))
        self.router = nn.Linear(every, len(feature_dims) + 1)
        self.balance = balance

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        features = [branch.features for branch in branches]
        inputs = [*features, torch.cat(features, dim=1)]
        said = [F.log_softmax(expert(x), dim=1) for expert, x in zip(self.experts, inputs, strict=True)]
        trusted = F.log_softmax(self.router(inputs[-1]), dim=1).T[:, :, None]
        return torch.logsumexp(torch.stack(said) + trusted, dim=0)

    def training_loss(self, scores: Tensor, branches: Sequence[BranchOutput], targets: Tensor) -> Tensor:
        """Return the cross entropy of the scores and the router's imbalance."""
        router = self.router(torch.cat([branch.features for branch in branches], dim=1))
        share = router.softmax(1).mean(0)
        return F.cross_entropy(scores, targets) + self.balance * share.var(correction=0) / share.mean().square()
