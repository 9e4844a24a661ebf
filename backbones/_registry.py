"""The registry of backbones and the contract that every backbone fulfils."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from torch import Tensor, nn

from backbones.specs import Registry


class BranchOutput(NamedTuple):
    """What one backbone says of a batch.

    Attributes:
        features: (B, D) pooled features.
        logits: (B, C) class scores of the backbone's own head.
        maps: (B, D, h, w) last feature map, or None where the backbone has none.
    """

    features: Tensor
    logits: Tensor
    maps: Tensor | None = None


@dataclass(frozen=True)
class Backbone:
    """A backbone as the registry knows it.

    Attributes:
        title: how tables call it.
        reference: the publication.
        build: `build(num_classes, *, settings...)` gives a network that maps (B, 3, H, W) to `BranchOutput`.
        pretrained: the name of its ImageNet weights in torchvision, None where there are none.
    """

    name: str
    title: str
    reference: str
    build: Callable[..., nn.Module]
    pretrained: str | None = None


Builder = TypeVar("Builder", bound=Callable[..., nn.Module])
BACKBONES: Registry[Backbone] = Registry("backbone")


def register_backbone(
    name: str, *, title: str, reference: str, pretrained: str | None = None
) -> Callable[[Builder], Builder]:
    """Register the decorated builder under `name`; a taken name is a `ValueError`."""

    def register(build: Builder) -> Builder:
        BACKBONES.add(name, Backbone(name, title, reference, build, pretrained))
        return build

    return register
