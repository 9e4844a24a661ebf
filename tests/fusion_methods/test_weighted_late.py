"""Weighted late fusion against its formula in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backbones import BranchOutput
from fusion_methods import build_fusion
from fusion_methods.weighted_late import WeightedLateFusion


def voters(count: int) -> list[BranchOutput]:
    """Branches with random logits for five images and three classes, in double precision."""
    random = torch.Generator().manual_seed(count)
    return [
        BranchOutput(torch.zeros(5, 2), 3 * torch.randn(5, 3, generator=random, dtype=torch.float64))
        for _ in range(count)
    ]


def softmax(x: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("count", [2, 3])
def test_starts_as_late_fusion(count: int) -> None:
    branches = voters(count)
    expected = build_fusion("late", (2,) * count, 3)(branches)
    torch.testing.assert_close(build_fusion("weighted-late", (2,) * count, 3)(branches), expected)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_value(count: int, scale: float) -> None:
    branches = voters(count)
    module = WeightedLateFusion((2,) * count, 3, scale=scale).double()
    torch.nn.init.normal_(module.weights, std=0.3)
    weights = softmax(scale * module.state_dict()["weights"].numpy())
    expected = np.log(sum(w * softmax(b.logits.numpy()) for w, b in zip(weights, branches, strict=True)))
    np.testing.assert_allclose(module(branches).detach().numpy(), expected, rtol=1e-10)


def test_learning_prefers_the_branch_that_is_right() -> None:
    labels = torch.arange(30) % 3
    right = BranchOutput(torch.zeros(30, 2), 2 * torch.eye(3)[labels])
    wrong = BranchOutput(torch.zeros(30, 2), 2 * torch.eye(3)[(labels + 1) % 3])
    module = WeightedLateFusion((2, 2), 3)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    for _ in range(200):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module([wrong, right]), labels).backward()
        optimizer.step()
    first, second = torch.softmax(module.scale * module.weights.detach(), 0).tolist()
    assert second > 0.9 > 0.1 > first
