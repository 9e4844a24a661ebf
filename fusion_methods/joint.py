"""Joint fusion: the loss of the fused classifier reaches the branches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fusion_methods._layers import Concatenation
from fusion_methods._registry import register_fusion


@register_fusion(
    "joint", title="Joint fusion", reference="Huang et al. 2020, npj Digital Medicine 3:136", end_to_end=True
)
class JointFusion(Concatenation):
    """Concatenate the branches' features while all networks learn together.

    scores = W2 relu(W1 [f_1; ...; f_n] + b1) + b2, gradients flowing back through every f_i into its
    backbone, which starts from its own trained checkpoint. Shapes: features (B, D_i) -> (B, C).
    """

    search_space: ClassVar = {"width": [128, 256, 512, 1024], "dropout": [0.0, 0.2, 0.5]}

    def __init__(
        self, feature_dims: Sequence[int], num_classes: int, *, width: int = 512, dropout: float = 0.0
    ) -> None:
        super().__init__(feature_dims, num_classes, width, dropout)
