"""Adaptive average pooling whose gradient can be had in a fixed order on a GPU, too."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def average_to(maps: Tensor, height: int, width: int) -> Tensor:
    """Average (B, D, h, w) over the cells of a grid, as `F.adaptive_avg_pool2d` does: (B, D, height, width).

    torch has no gradient of that function with a fixed order of addition on a GPU, and refuses it in deterministic
    mode. Maps of the grid's own size pass as they are; others are multiplied by each cell's share of rows and columns.
    """
    if maps.shape[2:] == (height, width):
        return maps
    if not (maps.is_cuda and torch.are_deterministic_algorithms_enabled()):
        return F.adaptive_avg_pool2d(maps, (height, width))
    return _shares(maps, 2, height).t() @ maps @ _shares(maps, 3, width)


def _shares(maps: Tensor, axis: int, cells: int) -> Tensor:
    """Return the (size, cells) share of every position along an axis in the mean of every cell."""
    positions = torch.eye(maps.shape[axis], dtype=maps.dtype, device=maps.device)
    return F.adaptive_avg_pool1d(positions[None], cells)[0]
