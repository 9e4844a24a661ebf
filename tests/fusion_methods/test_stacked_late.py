"""Stacked late fusion against its formula in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backbones import BranchOutput
from fusion_methods import build_fusion


def voters(count: int) -> list[BranchOutput]:
    """Branches with random logits for five images and three classes, in double precision."""
    random = torch.Generator().manual_seed(count)
    return [
        BranchOutput(torch.zeros(5, 2), 3 * torch.randn(5, 3, generator=random, dtype=torch.float64))
        for _ in range(count)
    ]


def log_softmax(x: np.ndarray) -> np.ndarray:
    """Logarithm of the softmax over the last axis."""
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


@pytest.mark.parametrize("count", [2, 3])
def test_starts_as_the_geometric_mean(count: int) -> None:
    branches = voters(count)
    module = build_fusion("stacked-late", (2,) * count, 3).double()
    expected = np.mean([log_softmax(b.logits.numpy()) for b in branches], axis=0)
    np.testing.assert_allclose(module(branches).detach().numpy(), expected, rtol=1e-6)  # 1/n is a float32


@pytest.mark.parametrize("count", [2, 3])
def test_value(count: int) -> None:
    branches = voters(count)
    module = build_fusion("stacked-late", (2,) * count, 3).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    weights = {name: value.numpy() for name, value in module.state_dict().items()}
    votes = np.concatenate([log_softmax(b.logits.numpy()) for b in branches], axis=1)
    expected = votes @ weights["regression.weight"].T + weights["regression.bias"]
    np.testing.assert_allclose(module(branches).detach().numpy(), expected, rtol=1e-10)
