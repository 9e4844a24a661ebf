"""Random flip, rotation, resizing and loss of saturation of a whole batch in one resampling step."""

from __future__ import annotations

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.config import AugmentationSettings

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LUMA = (0.299, 0.587, 0.114)
BLACK = tuple(-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True))  # after normalisation


def to_network_input(images: Tensor, size: int) -> Tensor:
    """Turn (B, S, S, 3) uint8 into normalised (B, 3, size, size), resized bilinearly where `size` differs."""
    x = _unit(images)
    if x.shape[-1] != size:
        x = F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
    return normalise(x)


def augment(images: Tensor, size: int, settings: AugmentationSettings, generator: torch.Generator) -> Tensor:
    """Turn (B, S, S, 3) uint8 into normalised (B, 3, size, size), every image changed at random.

    Flip, rotation and resizing are one affine map, so that an image is interpolated once; what a rotation
    brings in from outside is black. Colour is linear and comes first, at the images' own size: interpolation keeps it.
    Parameters are drawn on the CPU, hence the same on every device.
    """
    flip, angle, removed = (drawn.to(images.device) for drawn in draw_parameters(len(images), settings, generator))
    grid = sampling_grid(affine_maps(flip, angle), size)
    # Border padding within the image, so that enlarging does not darken its edge; black outside of it.
    x = F.grid_sample(coloured(images, removed), grid, mode="bilinear", padding_mode="border", align_corners=False)
    if settings.rotate:
        inside = (grid.abs().amax(dim=3) <= 1 + 1e-6).unsqueeze(1)
        x = torch.where(inside, x, _constant(BLACK, x.device).view(1, 3, 1, 1))
    return x.contiguous(memory_format=torch.channels_last)


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


def sampling_grid(maps: Tensor, size: int) -> Tensor:
    """Return where each output pixel is read, (B, size, size, 2) in [-1, 1], for maps that keep the centre in place."""
    ticks = (2 * torch.arange(size, device=maps.device) + 1) / size - 1
    grid = torch.empty(len(maps), size, size, 2, device=maps.device)
    for axis in (0, 1):
        across, down = maps[:, axis, 0, None, None], maps[:, axis, 1, None, None]
        torch.add(across * ticks, down * ticks[:, None], out=grid[..., axis])
    return grid


def coloured(images: Tensor, removed: Tensor) -> Tensor:
    """Remove a share of each image's colour and normalise: (B, S, S, 3) uint8 to (B, 3, S, S), one matrix an image."""
    batch, height, width, _ = images.shape
    device = images.device
    grey, identity = _constant(LUMA, device), torch.eye(3, device=device)
    matrices = torch.lerp(identity, grey.expand(3, 3), removed.view(-1, 1, 1))
    scaled = matrices / (255 * _constant(IMAGENET_STD, device)).view(3, 1)
    pixels = images.view(batch, height * width, 3).float()
    mixed = torch.baddbmm(_constant(BLACK, device).view(1, 1, 3), pixels, scaled.mT)
    return mixed.view(batch, height, width, 3).permute(0, 3, 1, 2)


def normalise(x: Tensor) -> Tensor:
    """Centre and scale the channels by ImageNet's mean and standard deviation; NHWC in memory."""
    mean, std = (_constant(values, x.device).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return ((x - mean) / std).contiguous(memory_format=torch.channels_last)


@cache
def _constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Return numbers as a tensor that is copied to a device once, not in every step."""
    with torch.inference_mode(mode=False):
        return torch.tensor(values, device=device)


def _unit(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).float() / 255
