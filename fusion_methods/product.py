"""The product rule: every branch can veto a class."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods._layers import stacked_log_probabilities
from fusion_methods._registry import register_fusion


@register_fusion("product", title="Product rule", reference="Kittler et al. 1998, IEEE TPAMI 20:226-239")
class ProductRule(nn.Module):
    """Multiply the branches' probabilities, as if their errors were independent given the class.

    P(k | x) = P(k)^(1-n) prod_i p_i(k) / sum over the classes. The prior term is a constant here, as all classes are
    taken to be equally likely, so that scores = sum_i log p_i with p_i = softmax(logits_i). Nothing is learnt.
    Shapes: n times logits (B, C) -> (B, C).
    """

    def __init__(self, feature_dims: Sequence[int], num_classes: int) -> None:
        super().__init__()

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        return stacked_log_probabilities(branches).sum(dim=0)
