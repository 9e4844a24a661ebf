"""ResNet18 with more channels: one network with as many parameters as two fused ones."""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision import models
from torchvision.models.resnet import BasicBlock

from backbones._registry import register_backbone
from backbones.resnet import ResNet


class _Widened(models.ResNet):
    """torchvision's ResNet whose four stages have `width` times their usual channels."""

    def __init__(self, width: float) -> None:
        self.width = width
        super().__init__(BasicBlock, [2, 2, 2, 2])
        self.fc = nn.Linear(self.inplanes, 1)

    def _make_layer(self, block: Any, planes: int, *rest: Any, **named: Any) -> nn.Sequential:
        return super()._make_layer(block, round(planes * self.width), *rest, **named)


@register_backbone(
    "wide-resnet18", title="Wide ResNet18", reference="Zagoruyko and Komodakis 2016, Wide Residual Networks (the idea)"
)
def wide_resnet18(num_classes: int, *, width: float = 1.7) -> ResNet:
    """Build a ResNet18 with `width` times the channels, hence about width² times the parameters; random weights."""
    if width <= 0:
        raise ValueError(f"wide-resnet18: width={width:g} must be above 0")
    return ResNet(_Widened(width), num_classes)
