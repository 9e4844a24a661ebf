"""Convolutions of small feature maps as matrix products, which a CPU learns from in a fraction of the time.

For a map of a few positions the weights are larger than the images, and a convolution kernel made for large maps spends
its time on bringing weights and their gradient into its own order: on one core the gradient of ResNet's last layers,
512 x 512 x 3 x 3 on a map of 1 x 1, takes 19 to 47 ms for 7 images, as a matrix product 2 ms. With the patches that the
kernel sees laid side by side (im2col; Chellapilla et al. 2006, High performance convolutional neural networks for
document processing), the output and both gradients are one product each. The numbers are the convolution's but for
rounding.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

LARGEST_MAP = 16  # positions of the output up to which the product is faster, measured at batches of 7 to 48


def multiply_small_maps(network: nn.Module) -> nn.Module:
    """Let a network's convolutions learn from small maps by matrix products; returns the same network.

    Parameters and their names stay. It takes effect where gradients are recorded in float32 on a CPU: evaluation and
    GPUs keep torch's own convolution.
    """
    for layer in network.modules():
        if type(layer) is nn.Conv2d and _is_suited(layer):
            layer.__class__ = SmallMapConv2d
    return network


def _is_suited(layer: nn.Conv2d) -> bool:
    """Tell whether a layer is an ordinary convolution that looks at more than one position."""
    plain = layer.groups == 1 and layer.dilation == (1, 1) and layer.padding_mode == "zeros"
    return plain and not isinstance(layer.padding, str) and layer.kernel_size != (1, 1)


class SmallMapConv2d(nn.Conv2d):
    """A convolution that is a matrix product while it learns from small maps on a CPU.

    (B, C, H, W) -> (B, O, h, w) in `channels_last`; weights (O, C, k, k), best in `channels_last` too.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        if not self._pays(x):
            return super().forward(x)
        above, beside = cast("tuple[int, int]", self.padding)
        padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, beside, beside, above, above))
        out: Tensor = PatchProduct.apply(padded, self.weight, self.stride)
        out = out if self.bias is None else out + self.bias
        return out.permute(0, 3, 1, 2)

    def _pays(self, x: Tensor) -> bool:
        if not torch.is_grad_enabled() or x.device.type != "cpu" or x.dtype != torch.float32 or x.dim() != 4:
            return False
        padding = cast("tuple[int, int]", self.padding)
        sizes = zip(x.shape[2:], padding, self.kernel_size, self.stride, strict=True)
        height, width = ((size + 2 * pad - kernel) // stride + 1 for size, pad, kernel, stride in sizes)
        return 0 < height * width <= LARGEST_MAP and not torch.is_autocast_enabled("cpu")


class PatchProduct(torch.autograd.Function):
    """(B, H, W, C) with its margin, weights (O, C, k, k) -> (B, h, w, O)."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor, weight: Tensor, stride: tuple[int, int]) -> Tensor:
        channels, height, width = weight.shape[1:]
        windows = padded.unfold(1, height, stride[0]).unfold(2, width, stride[1])  # (B, h, w, C, k, k)
        patches = windows.permute(0, 1, 2, 4, 5, 3).reshape(*windows.shape[:3], height * width * channels)
        ctx.save_for_backward(patches, weight)
        ctx.stride, ctx.shape = stride, padded.shape
        return patches @ _matrix(weight).t()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        patches, weight = ctx.saved_tensors
        outputs, channels, height, width = weight.shape
        rows = gradient.reshape(-1, outputs)
        of_weight = of_padded = None
        if ctx.needs_input_grad[1]:
            product = rows.t() @ patches.flatten(0, 2)
            of_weight = product.view(outputs, height, width, channels).permute(0, 3, 1, 2)
        if ctx.needs_input_grad[0]:
            by_place = (rows @ _matrix(weight)).view(*gradient.shape[:3], height, width, channels)
            of_padded = _added_up(by_place, ctx.stride, ctx.shape)
        return of_padded, of_weight, None


def _matrix(weight: Tensor) -> Tensor:
    """Return weights (O, C, k, k) as (O, k k C), without a copy where they lie in `channels_last`."""
    return weight.permute(0, 2, 3, 1).flatten(1)


def _added_up(by_place: Tensor, stride: tuple[int, int], shape: torch.Size) -> Tensor:
    """Add what every window (B, h, w, k, k, C) says of its positions; returns (B, H, W, C)."""
    rows, columns, height, width = by_place.shape[1:5]
    total = by_place.new_zeros(shape)
    for y in range(height):
        for x in range(width):
            last_row, last_column = y + stride[0] * rows, x + stride[1] * columns
            total[:, y : last_row : stride[0], x : last_column : stride[1]] += by_place[:, :, :, y, x]
    return total
