"""Gated fusion against its formula in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backbones import BranchOutput
from fusion_methods import build_fusion
from fusion_methods.gated import GatedFusion

DIMS = (5, 4, 3)


def branches_and_features(count: int) -> tuple[list[BranchOutput], list[np.ndarray]]:
    """Branches with random features of different sizes for six images, in double precision."""
    random = torch.Generator().manual_seed(count)
    features = [torch.randn(6, dim, generator=random, dtype=torch.float64) for dim in DIMS[:count]]
    return [BranchOutput(x, torch.zeros(6, 3)) for x in features], [x.numpy() for x in features]


def sigmoid(x: np.ndarray) -> np.ndarray:
    """The logistic function."""
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("count", [2, 3])
def test_value(count: int) -> None:
    branches, x = branches_and_features(count)
    module = build_fusion("gated:width=8", DIMS[:count], 3).double()
    w = {name: value.numpy() for name, value in module.state_dict().items()}
    hidden = [np.tanh(x[i] @ w[f"project.{i}.weight"].T) for i in range(count)]
    gates = sigmoid(np.concatenate(x, axis=1) @ w["gate.weight"].T)
    if count == 2:
        assert gates.shape == (6, 8)
        mixed = gates * hidden[0] + (1 - gates) * hidden[1]
    else:
        assert gates.shape == (6, 24)
        mixed = gates[:, :8] * hidden[0] + gates[:, 8:16] * hidden[1] + gates[:, 16:] * hidden[2]
    expected = mixed @ w["classifier.1.weight"].T + w["classifier.1.bias"]
    np.testing.assert_allclose(module(branches).detach().numpy(), expected, rtol=1e-10)


def test_an_open_gate_lets_only_the_first_of_two_branches_through() -> None:
    branches, _ = branches_and_features(2)
    branches = [BranchOutput(b.features.abs() + 0.1, b.logits) for b in branches]
    module = GatedFusion(DIMS[:2], 3, width=8).double()
    torch.nn.init.constant_(module.gate.weight, 1e3)
    second_doubled = [branches[0], BranchOutput(branches[1].features * 2, branches[1].logits)]
    torch.testing.assert_close(module(branches), module(second_doubled))
