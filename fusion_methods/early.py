"""Early fusion: one classifier over the joined features of frozen branches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fusion_methods._layers import Concatenation
from fusion_methods._registry import register_fusion


@register_fusion("early", title="Early fusion", reference="Huang et al. 2020, npj Digital Medicine 3:136")
class EarlyFusion(Concatenation):
    """Concatenate the branches' features, extracted beforehand, and classify them with a perceptron.

    scores = W2 relu(W1 [f_1; ...; f_n] + b1) + b2. Shapes: features (B, D_i) -> (B, C).
    """

    search_space: ClassVar = {"width": [128, 256, 512, 1024], "dropout": [0.0, 0.2, 0.5]}

    def __init__(
        self, feature_dims: Sequence[int], num_classes: int, *, width: int = 512, dropout: float = 0.0
    ) -> None:
        super().__init__(feature_dims, num_classes, width, dropout)
