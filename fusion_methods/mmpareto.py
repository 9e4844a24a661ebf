"""Joint fusion with a loss for each branch, and backbones that follow both losses where these disagree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods._layers import Concatenation
from fusion_methods._registry import register_fusion


@register_fusion(
    "mmpareto",
    title="Joint fusion, MMPareto",
    reference="Wei and Hu 2024, ICML (MMPareto: boosting multimodal learning with innocent unimodal assistance)",
    end_to_end=True,
)
class MmPareto(Concatenation):
    """Joint fusion with a cross entropy for each branch's logits, whose gradients do not cancel each other.

    loss = CE(scores) + sum_i CE(logits_i); scores are those of `joint`. In backbone i, let g be the gradient of the
    first term and u that of the branch's own. Where g · u < 0, w minimises |w g + (1 - w) u|; elsewhere w = 1/2. A
    tensor's gradient becomes strength * max(1, |g + u| / |h|) * h with h = 2 w g + 2 (1 - w) u. What the first term
    does not reach, as a backbone's own classifier, learns as it would, and so does all of it behind frozen backbones.
    A step takes a second backward pass. Shapes: features (B, D_i), logits (B, C) -> (B, C).
    """

    search_space: ClassVar = {"strength": [1.0, 1.5, 2.0], "width": [128, 256, 512], "dropout": [0.0, 0.2, 0.5]}

    def __init__(
        self,
        feature_dims: Sequence[int],
        num_classes: int,
        *,
        strength: float = 1.5,
        width: int = 512,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(feature_dims, num_classes, width, dropout)
        self.strength = strength
        self.joint: dict[Tensor, Tensor] = {}  # by parameter, the fused loss's gradient, summed over images
        self.images = 0

    def training_loss(self, scores: Tensor, branches: Sequence[BranchOutput], targets: Tensor) -> Tensor:
        """Return the fused cross entropy and the sum of the branches' own, and note the gradient of the first."""
        fused = F.cross_entropy(scores, targets)
        parameters = list(dict.fromkeys(leaf for branch in branches for leaf in _leaves(branch.features)))
        if parameters:
            found = torch.autograd.grad(fused, parameters, retain_graph=True)
            for parameter, gradient in zip(parameters, found, strict=True):
                self.joint[parameter] = self.joint.get(parameter, 0.0) + len(targets) * gradient
            self.images += len(targets)
        own: Tensor = torch.stack([F.cross_entropy(branch.logits, targets) for branch in branches]).sum()
        return fused + own

    def adjust_gradients(self, backbones: Sequence[nn.Module]) -> None:
        """Put the combination of both losses' gradients in the place of their sum, backbone by backbone."""
        for backbone in backbones:
            shared = [parameter for parameter in backbone.parameters() if parameter in self.joint]
            if not shared:
                continue
            fused = [self.joint[parameter] / self.images for parameter in shared]
            own = [parameter.grad - g for parameter, g in zip(shared, fused, strict=True) if parameter.grad is not None]
            weight = least_norm_weight(_flat(fused), _flat(own))
            for parameter, g, u in zip(shared, fused, own, strict=True):
                combined = 2 * weight * g + 2 * (1 - weight) * u
                scale = ((g + u).norm() / combined.norm().clamp_min(1e-30)).clamp_min(1)
                parameter.grad = self.strength * scale * combined
        self.joint, self.images = {}, 0


def least_norm_weight(g: Tensor, u: Tensor) -> Tensor:
    """Return the w in [0, 1] that minimises |w g + (1 - w) u| where the vectors are opposed, else 1/2."""
    least = (u @ (u - g) / (g - u).square().sum().clamp_min(1e-30)).clamp(0, 1)
    return torch.where(g @ u < 0, least, torch.full_like(least, 0.5))


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([x.flatten() for x in tensors])


def _leaves(output: Tensor) -> Iterator[Tensor]:
    """Yield the parameters that an output was computed from, as autograd remembers it."""
    stack, seen = [output.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        stack += [before for before, _ in node.next_functions]
