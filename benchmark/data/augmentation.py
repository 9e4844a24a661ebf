"""Random flip, rotation, resizing and loss of saturation of a whole batch in one resampling step."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.config import AugmentationSettings

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LUMA = (0.299, 0.587, 0.114)


def to_network_input(images: Tensor, size: int) -> Tensor:
    """Turn (B, S, S, 3) uint8 into normalised (B, 3, size, size), resized bilinearly where `size` differs."""
    x = _unit(images)
    if x.shape[-1] != size:
        x = F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
    return normalise(x)


def augment(images: Tensor, size: int, settings: AugmentationSettings, generator: torch.Generator) -> Tensor:
    """Turn (B, S, S, 3) uint8 into normalised (B, 3, size, size), every image changed at random.

    Flip, rotation and resizing are one affine map, so that an image is interpolated once; what a rotation
    brings in from outside is black. Parameters are drawn on the CPU, hence the same on every device.
    """
    flip, angle, removed = draw_parameters(len(images), settings, generator)
    x = _unit(images)
    grid = F.affine_grid(affine_maps(flip, angle).to(x.device), [len(x), 3, size, size], align_corners=False)
    # Border padding within the image, so that enlarging does not darken its edge; black outside of it.
    inside = (grid.abs() <= 1 + 1e-6).all(dim=3).unsqueeze(1)
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False) * inside
    return normalise(remove_saturation(x, removed.to(x.device)))


def draw_parameters(
    batch: int, settings: AugmentationSettings, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw for every image whether it is flipped, its angle in degrees, and the share of colour removed; each (B,)."""
    flip, angle, removed = torch.rand(3, batch, generator=generator)
    low, high = settings.remove_saturation
    return flip < settings.flip, (2 * angle - 1) * settings.rotate, low + (high - low) * removed


def affine_maps(flip: Tensor, degrees: Tensor) -> Tensor:
    """Return the (B, 2, 3) maps from output to input coordinates: rotate about the centre, then flip."""
    radians = degrees * (math.pi / 180)
    sign = 1 - 2 * flip.float()
    cos, sin, zero = radians.cos(), radians.sin(), torch.zeros_like(radians)
    return torch.stack([torch.stack([sign * cos, -sign * sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)


def remove_saturation(x: Tensor, share: Tensor) -> Tensor:
    """Mix (B, 3, H, W) with its own grey image; a share of 1 leaves grey alone."""
    luma = torch.tensor(LUMA, device=x.device, dtype=x.dtype).view(1, 3, 1, 1)
    return torch.lerp(x, (x * luma).sum(1, keepdim=True).expand_as(x), share.view(-1, 1, 1, 1))


def normalise(x: Tensor) -> Tensor:
    """Centre and scale the channels by ImageNet's mean and standard deviation; NHWC in memory."""
    mean, std = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return ((x - mean) / std).contiguous(memory_format=torch.channels_last)


def _unit(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).float() / 255
