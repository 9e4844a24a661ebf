"""Backbones: image -> `BranchOutput`. One network family per file; `build_backbone` makes one from its spec."""

from __future__ import annotations

from torch import nn

from backbones import ir50, resnet, vgg, wide_resnet
from backbones._registry import BACKBONES, Backbone, BranchOutput, register_backbone
from backbones.specs import Spec, parse_spec, split_spec
from backbones.timm_network import timm_network
from backbones.torchvision_network import torchvision_network

__all__ = [
    "BACKBONES",
    "Backbone",
    "BranchOutput",
    "build_backbone",
    "find_backbone",
    "ir50",
    "register_backbone",
    "resnet",
    "resolve_backbone",
    "split_replicate",
    "vgg",
    "wide_resnet",
]


def split_replicate(text: str) -> tuple[str, int]:
    """Split `resnet18#2` into the spec and which independent copy of it is meant (1 when not said).

    Raises:
        ValueError: what follows `#` is no positive number.
    """
    spec, _, replicate = text.partition("#")
    if replicate and not (replicate.isdecimal() and int(replicate) > 0):
        raise ValueError(f"'{text}': write a number after '#', as in {spec}#2")
    return spec, int(replicate or 1)


def find_backbone(text: str) -> Backbone:
    """Return the registered backbone of a spec, torchvision's network of that name, or timm's after `timm/`.

    Raises:
        ValueError: nobody knows the name; the message gives the nearest ones.
    """
    name, _ = split_spec(split_replicate(text)[0])
    found = BACKBONES.find(name) or torchvision_network(name) or timm_network(name)
    if found is None:
        raise ValueError(f"{BACKBONES.unknown(name)} (or any torchvision classification network, or timm/NAME)")
    return found


def resolve_backbone(text: str) -> Spec:
    """Read a backbone's spec, all settings filled in; a wrong one is a `ValueError`."""
    return parse_spec(split_replicate(text)[0], find_backbone(text).build)


def build_backbone(text: str, num_classes: int) -> nn.Module:
    """Build the network of a spec with random weights; it maps (B, 3, H, W) to `BranchOutput`."""
    return find_backbone(text).build(num_classes, **resolve_backbone(text).settings)
