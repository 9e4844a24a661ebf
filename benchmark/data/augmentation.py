"""Random flip, rotation, resizing and loss of saturation of a whole batch in one resampling step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import starmap
from typing import NamedTuple

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


class Changes(NamedTuple):
    """What augmentation does to N images: affine maps (N, 2, 3) from output to input, colour matrices (N, 3, 3)."""

    maps: Tensor
    colours: Tensor

    def to(self, device: str) -> Changes:
        """Copy to a device."""
        return Changes(self.maps.to(device), self.colours.to(device))

    def split(self, sizes: Sequence[int]) -> Iterator[Changes]:
        """Cut into batches of these sizes."""
        return starmap(Changes, zip(self.maps.split(sizes), self.colours.split(sizes), strict=True))


def draw_changes(sizes: Sequence[int], settings: AugmentationSettings, generator: torch.Generator) -> Changes:
    """Draw the changes of an epoch of batches on the CPU, batch by batch, hence the same on every device."""
    drawn = [draw_parameters(size, settings, generator) for size in sizes]
    flip, angle, removed = (torch.cat(values) for values in zip(*drawn, strict=True))
    return Changes(affine_maps(flip, angle), colour_matrices(removed))


def augment(images: Tensor, size: int, changes: Changes, *, rotated: bool) -> Tensor:
    """Turn (B, S, S, 3) uint8 into normalised (B, 3, size, size), every image changed by its own row of `changes`.

    Flip, rotation and resizing are one affine map, so that an image is interpolated once; what a rotation
    brings in from outside is black. Colour is linear and comes first, at the images' own size: interpolation keeps it.
    """
    grid = sampling_grid(changes.maps, size)
    # Border padding within the image, so that enlarging does not darken its edge; black outside of it.
    coloured = mix_colours(images, changes.colours)
    x = F.grid_sample(coloured, grid, mode="bilinear", padding_mode="border", align_corners=False)
    if rotated:
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
    ticks = _ticks(size, maps.device)
    grid = torch.empty(len(maps), size, size, 2, device=maps.device)
    for axis in (0, 1):
        across, down = maps[:, axis, 0, None, None], maps[:, axis, 1, None, None]
        torch.add(across * ticks, down * ticks[:, None], out=grid[..., axis])
    return grid


def colour_matrices(removed: Tensor) -> Tensor:
    """Return what removes a share of an image's colour, (B,), and scales its bytes to the normalised: (B, 3, 3)."""
    matrices = torch.lerp(torch.eye(3), torch.tensor(LUMA).expand(3, 3), removed.view(-1, 1, 1))
    return matrices / (255 * torch.tensor(IMAGENET_STD)).view(3, 1)


def mix_colours(images: Tensor, matrices: Tensor) -> Tensor:
    """Mix the channels of each image by its own matrix and normalise: (B, S, S, 3) uint8 to (B, 3, S, S)."""
    batch, height, width, _ = images.shape
    pixels = images.view(batch, height * width, 3).float()
    mixed = torch.baddbmm(_constant(BLACK, images.device).view(1, 1, 3), pixels, matrices.mT)
    return mixed.view(batch, height, width, 3).permute(0, 3, 1, 2)


def normalise(x: Tensor) -> Tensor:
    """Centre and scale the channels by ImageNet's mean and standard deviation; NHWC in memory."""
    mean, std = (_constant(values, x.device).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return ((x - mean) / std).contiguous(memory_format=torch.channels_last)


@cache
def _ticks(size: int, device: torch.device) -> Tensor:
    """Return the centres of `size` pixels along an axis from -1 to 1."""
    with torch.inference_mode(mode=False):
        return (2 * torch.arange(size, device=device) + 1) / size - 1


@cache
def _constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Return numbers as a tensor that is copied to a device once, not in every step."""
    with torch.inference_mode(mode=False):
        return torch.tensor(values, device=device)


def _unit(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).float() / 255
