"""Softmax attention between scalars without its d×d matrix.

With tokens of width 1 the weight of token j for token i is exp(z_i k_j) / sum_j exp(z_i k_j), z_i = scale * q_i: a
function of the single number z_i. Its exponential series splits into powers of z_i and powers of k_j,

    sum_j exp(z_i t_j) v_j = sum_p z_i^p / p! * sum_j t_j^p v_j,

where t = k - centre(k), a shift that softmax does not notice. Where |z t| <= 4, twenty-four terms in float64 leave a
relative error below 3e-8, under float32's own rounding, for 24 d instead of d² operations. Images beyond that
bound, and all on a GPU, go through `scaled_dot_product_attention`. Each image is decided alone, so none depends on its
neighbours.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

TERMS = 24
BOUND = 4.0
HEAD_WIDTH = 8  # the narrowest head that the memory-efficient kernels of every device take


def attend_scalars(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Return softmax(scale * q kᵀ) v for (B, d) inputs whose d entries are tokens of width 1; (B, d)."""
    centre = (key.amax(1, keepdim=True) + key.amin(1, keepdim=True)).detach() / 2
    z, t = query * scale, key - centre
    if query.is_cuda:  # looking at the values would wait for the GPU in every step
        return kernel_attention(z, t, value)
    fits = z.detach().abs().amax(1) * t.detach().abs().amax(1) <= BOUND
    if bool(fits.all()):
        return series_attention(z, t, value)
    out = torch.empty_like(value)
    out[fits] = series_attention(z[fits], t[fits], value[fits])
    out[~fits] = kernel_attention(z[~fits], t[~fits], value[~fits])
    return out


def series_attention(z: Tensor, t: Tensor, value: Tensor) -> Tensor:
    """Return softmax(z tᵀ) v by the series; exact to float32 rounding where |z t| <= BOUND."""
    out: Tensor = _Series.apply(z.double(), t.double(), value.double())
    return out.to(value.dtype)


def kernel_attention(z: Tensor, t: Tensor, value: Tensor) -> Tensor:
    """Return softmax(z tᵀ) v by torch's attention kernel, in which each scalar is a head padded with zeros."""
    q, k, v = (F.pad(x[:, None, :, None], (0, HEAD_WIDTH - 1)) for x in (z, t, value))
    return F.scaled_dot_product_attention(q, k, v, scale=1.0)[:, 0, :, 0]


class _Series(torch.autograd.Function):
    """Numerator and denominator of the attention as products of power tables, with the same tables backward."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, t: Tensor, value: Tensor) -> Tensor:
        z_powers = _powers(z) / _factorials(z)
        t_powers = _powers(t)
        moments = t_powers @ torch.stack([value, torch.ones_like(value)], dim=2)  # (B, TERMS, 2)
        numerator, denominator = (z_powers.transpose(1, 2) @ moments).unbind(2)
        out = numerator / denominator
        ctx.save_for_backward(z_powers, t_powers, moments, value, denominator, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z_powers, t_powers, moments, value, denominator, out = ctx.saved_tensors
        to_sums = torch.stack([grad / denominator, -grad * out / denominator], dim=2)  # (B, d, 2)
        to_moments = z_powers @ to_sums  # (B, TERMS, 2)
        # The derivative of z^p / p! is the table's previous row, that of t^p is p times the previous row.
        grad_z = ((z_powers[:, :-1].transpose(1, 2) @ moments[:, 1:]) * to_sums).sum(2)
        order = torch.arange(1, TERMS, dtype=grad.dtype, device=grad.device)[:, None]
        slopes = t_powers[:, :-1].transpose(1, 2) @ (to_moments[:, 1:] * order)  # (B, d, 2)
        grad_t = slopes[:, :, 0] * value + slopes[:, :, 1]
        grad_value = (t_powers.transpose(1, 2) @ to_moments[:, :, :1]).squeeze(2)
        return grad_z, grad_t, grad_value


def _powers(x: Tensor) -> Tensor:
    """Return x^0 ... x^(TERMS-1) of (B, d) as (B, TERMS, d)."""
    table = x.new_empty(len(x), TERMS, x.shape[1])
    table[:, 0] = 1
    for p in range(1, TERMS):
        torch.mul(table[:, p - 1], x, out=table[:, p])
    return table


def _factorials(x: Tensor) -> Tensor:
    return torch.tensor([math.factorial(p) for p in range(TERMS)], dtype=x.dtype, device=x.device)[:, None]
