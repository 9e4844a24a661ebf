"""The maximum rule: the surest branch decides."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods._layers import stacked_log_probabilities
from fusion_methods._registry import register_fusion


@register_fusion("maximum", title="Maximum rule", reference="Kittler et al. 1998, IEEE TPAMI 20:226-239")
class MaximumRule(nn.Module):
    """Take for every class the highest probability that any branch gives it.

    P(k | x) = max_i p_i(k) / sum over the classes, p_i = softmax(logits_i), the rule for equal priors;
    scores = max_i log p_i, whose softmax divides by that sum. Nothing is learnt.
    Shapes: n times logits (B, C) -> (B, C).
    """

    def __init__(self, feature_dims: Sequence[int], num_classes: int) -> None:
        super().__init__()

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        return stacked_log_probabilities(branches).amax(dim=0)
