"""The majority rule: one branch, one vote."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods._layers import stacked_log_probabilities
from fusion_methods._registry import register_fusion


@register_fusion("majority", title="Majority vote", reference="Kittler et al. 1998, IEEE TPAMI 20:226-239")
class MajorityRule(nn.Module):
    """Count the branches' most probable classes; the highest summed probability breaks a tie.

    P(k | x) = (v(k) + m(k)) / (n + 1), where v(k) is the number of branches whose best class is k and
    m(k) = 1/n sum_i softmax(logits_i)(k): n whole votes and one more, which the mean divides by its probabilities.
    It sums to one and is never zero, and as m differs by less than one vote it decides between tied classes only;
    scores = log P. With two branches the rule departs from late fusion only where the mean prefers a class that is
    neither's best. Nothing is learnt. Shapes: n times logits (B, C) -> (B, C).
    """

    def __init__(self, feature_dims: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.branches = len(feature_dims)

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        log_probabilities = stacked_log_probabilities(branches)
        log_mean = torch.logsumexp(log_probabilities, dim=0) - math.log(self.branches)
        votes = F.one_hot(log_probabilities.argmax(dim=2), log_probabilities.shape[2]).sum(dim=0)
        return torch.logaddexp(votes.to(log_mean.dtype).log(), log_mean) - math.log(self.branches + 1)
