"""Attention between scalars: the series, the kernel, and where one takes over from the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fusion_methods._scalar_attention import BOUND, attend_scalars, kernel_attention, series_attention


def dense(query: Tensor, key: Tensor, value: Tensor, scale: float) -> NDArray[np.float64]:
    """softmax(scale q kᵀ) v in float64, with the matrix."""
    q, k, v = (x.detach().double().numpy() for x in (query, key, value))
    scores = scale * q[:, :, None] * k[:, None, :]
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    result: NDArray[np.float64] = np.einsum("bij,bj->bi", weights / weights.sum(axis=2, keepdims=True), v)
    return result


def draw(largest: float, *, images: int = 3, d: int = 64, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Draw q, k, v such that the largest |z t| of every image is `largest`, t being k about its centre."""
    torch.manual_seed(0)
    query, key, value = (torch.randn(images, d, dtype=torch.float64) for _ in range(3))
    centre = (key.amax(1, keepdim=True) + key.amin(1, keepdim=True)) / 2
    reach = query.abs().amax(1, keepdim=True) * (key - centre).abs().amax(1, keepdim=True)
    return [x.to(dtype) for x in (query * largest / reach, key, value)]


def largest_error(found: Tensor, query: Tensor, key: Tensor, value: Tensor, scale: float = 1.0) -> float:
    """Return the largest error, relative to the largest value of the image."""
    error = np.abs(found.detach().double().numpy() - dense(query, key, value, scale)).max(axis=1)
    return float((error / value.abs().amax(1).double().numpy()).max())


@pytest.mark.parametrize("largest", [1e-6, 0.1, 1.0, 2.0, 3.999])
def test_series_below_the_bound(largest: float) -> None:
    query, key, value = draw(largest)
    assert largest_error(attend_scalars(query, key, value, 1.0), query, key, value) < 3e-8


@pytest.mark.parametrize("largest", [4.001, 10.0, 100.0, 1e4])
def test_kernel_above_the_bound(largest: float) -> None:
    query, key, value = draw(largest)
    assert largest_error(attend_scalars(query, key, value, 1.0), query, key, value) < 1e-10


def test_truncation_where_it_is_largest() -> None:
    """All of one side at the edge of the bound, where the exponential is 54 or 1/54 and the last term counts most."""
    z = torch.tensor([[-2.0, 2.0, -2.0, 2.0]], dtype=torch.float64)
    t = torch.tensor([[-2.0, -2.0, 2.0, 2.0]], dtype=torch.float64)
    value = torch.tensor([[1.0, 3.0, -2.0, 5.0]], dtype=torch.float64)
    assert float(z.abs().max() * t.abs().max()) == BOUND
    assert largest_error(series_attention(z, t, value), z, t, value) < 3e-8


def test_two_tokens_by_hand() -> None:
    """exp(ln 3) : exp(0) weighs the first value three to one; a query of zero weighs both alike."""
    query = torch.tensor([[np.log(3.0), 0.0]], dtype=torch.float64)
    key = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    value = torch.tensor([[8.0, 4.0]], dtype=torch.float64)
    expected = torch.tensor([[7.0, 6.0]], dtype=torch.float64)
    torch.testing.assert_close(attend_scalars(query, key, value, 1.0), expected, rtol=3e-8, atol=0)


@pytest.mark.parametrize("scale", [0.05, 1 / np.sqrt(512), 3.0])
def test_the_scale_multiplies_the_query(scale: float) -> None:
    query, key, value = draw(8.0)
    assert largest_error(attend_scalars(query, key, value, scale), query, key, value, scale) < 3e-8


@pytest.mark.parametrize("largest", [0.1, 1.0, 3.99])
def test_series_is_exact_in_float32(largest: float) -> None:
    query, key, value = draw(largest, d=512, dtype=torch.float32)
    found = attend_scalars(query, key, value, 1.0)
    assert found.dtype == torch.float32
    assert largest_error(found, query, key, value) < 1e-6


def test_a_common_offset_of_the_keys_costs_no_precision() -> None:
    query, _, value = draw(1.0, dtype=torch.float32)
    torch.manual_seed(1)
    key = 100 + 0.1 * torch.rand(3, 64)
    assert float(query.abs().max()) * 100 > BOUND
    assert largest_error(attend_scalars(query, key, value, 1.0), query, key, value) < 1e-6


def test_kernel_in_float32_loses_no_more_than_its_exponent_does() -> None:
    query, key, value = draw(20.0, d=512, dtype=torch.float32)
    assert largest_error(attend_scalars(query, key, value, 1.0), query, key, value) < 1e-5


def test_images_on_both_sides_of_the_bound_are_decided_alone() -> None:
    query, key, value = draw(1.0, images=4, dtype=torch.float32)
    query[1] *= 30
    query[3] *= 3.9
    together = attend_scalars(query, key, value, 1.0)
    assert largest_error(together, query, key, value) < 1e-5
    for i in range(4):
        alone = attend_scalars(query[i : i + 1], key[i : i + 1], value[i : i + 1], 1.0)
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-6, atol=1e-6)


def test_series_and_kernel_meet_at_the_bound() -> None:
    query, key, value = draw(BOUND)
    t = key - (key.amax(1, keepdim=True) + key.amin(1, keepdim=True)) / 2
    torch.testing.assert_close(series_attention(query, t, value), kernel_attention(query, t, value), rtol=0, atol=1e-7)


@pytest.mark.parametrize("factors", [(1.0, 1.0), (20.0, 20.0), (1.0, 20.0)], ids=["series", "kernel", "both"])
def test_gradients_against_differences(factors: tuple[float, float]) -> None:
    query, key, value = draw(1.5, images=2, d=6)
    query = query * torch.tensor(factors, dtype=torch.float64)[:, None]
    inputs = [x.clone().requires_grad_() for x in (query, key, value)]
    assert torch.autograd.gradcheck(lambda q, k, v: attend_scalars(q, k, v, 1.0), inputs)


@pytest.mark.parametrize("largest", [1.0, 3.9, 9.0])
def test_gradients_against_the_dense_matrix(largest: float) -> None:
    ours, theirs = ([x.clone().requires_grad_() for x in draw(largest)] for _ in range(2))
    weights = torch.linspace(-1, 2, 64, dtype=torch.float64)
    (attend_scalars(*ours, 1.0) * weights).sum().backward()
    query, key, value = theirs
    matrix = torch.softmax(query[:, :, None] * key[:, None, :], dim=2)
    ((matrix @ value[:, :, None]).squeeze(2) * weights).sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        assert a.grad is not None
        assert b.grad is not None
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-6 * float(b.grad.abs().max()))


class LargestTensor(TorchDispatchMode):
    """Keep the largest number of entries that any operation returns."""

    entries = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for x in result if isinstance(result, tuple | list) else [result]:
            if isinstance(x, Tensor):
                self.entries = max(self.entries, x.numel())
        return result


def test_no_square_matrix_below_the_bound() -> None:
    d = 512
    inputs = [x.requires_grad_() for x in draw(3.0, images=2, d=d, dtype=torch.float32)]
    with LargestTensor() as seen:
        attend_scalars(*inputs, 1.0).sum().backward()
    assert seen.entries == 2 * 24 * d  # the power tables, a twentieth of the matrices
    with LargestTensor() as seen:
        query, key, _ = inputs
        torch.softmax(query[:, :, None] * key[:, None, :], dim=2)
    assert seen.entries == 2 * d * d
