"""Adaptive pooling by products is torch's, and a GPU in deterministic mode gets no other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from backbones.pooling import _shares, average_to

GRID = (7, 5)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 2), (7, 5), (8, 11), (14, 10)])
def test_products_are_the_pooling_and_its_gradient(height: int, width: int) -> None:
    maps = torch.randn(2, 3, height, width, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 3, *GRID, dtype=torch.float64)
    product = _shares(maps, 2, GRID[0]).t() @ maps @ _shares(maps, 3, GRID[1])
    pooled = F.adaptive_avg_pool2d(maps, GRID)
    torch.testing.assert_close(product, pooled, atol=1e-12, rtol=0)
    (mine,), (torchs,) = (torch.autograd.grad((scores * weight).sum(), maps) for scores in (product, pooled))
    torch.testing.assert_close(mine, torchs, atol=1e-12, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (14, 10)])
def test_on_a_cpu_it_is_torchs_bit_for_bit(size: tuple[int, int]) -> None:
    maps = torch.randn(2, 3, *size)
    assert torch.equal(average_to(maps, *GRID), F.adaptive_avg_pool2d(maps, GRID))


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def steps_behind(tensor: Tensor) -> set[str]:
    """Return the names of all nodes that a tensor's gradient goes through."""
    found, waiting = set(), [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None:
            found.add(node.name())
            waiting += [following for following, _ in node.next_functions]
    return found


@pytest.mark.skipif(torch.version.cuda is None, reason="this torch knows no CUDA tensors, not even fake ones")
@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (14, 10)])
def test_a_gpu_in_deterministic_mode_gets_no_adaptive_pooling(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with FakeTensorMode():
        maps = torch.empty(2, 3, *size, device="cuda:0", requires_grad=True)
        pooled = average_to(maps * 1, *GRID)
    assert pooled.shape == (2, 3, *GRID)
    assert not [name for name in steps_behind(pooled) if "Adaptive" in name]
