"""Bilinear fusion against its formula in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backbones import BranchOutput
from fusion_methods import build_fusion

DIMS = (5, 4, 3)


def branches_and_features(count: int) -> tuple[list[BranchOutput], list[np.ndarray]]:
    """Branches with random features of different sizes for six images, in double precision."""
    random = torch.Generator().manual_seed(count)
    features = [torch.randn(6, dim, generator=random, dtype=torch.float64) for dim in DIMS[:count]]
    return [BranchOutput(x, torch.zeros(6, 3)) for x in features], [x.numpy() for x in features]


@pytest.mark.parametrize("count", [2, 3])
def test_value(count: int) -> None:
    branches, x = branches_and_features(count)
    module = build_fusion("bilinear:width=8", DIMS[:count], 3).double()
    w = {name: value.numpy() for name, value in module.state_dict().items()}
    product = np.ones((6, 8))
    for i in range(count):
        product *= np.tanh(x[i] @ w[f"project.{i}.weight"].T + w[f"project.{i}.bias"])
    expected = product @ w["classifier.1.weight"].T + w["classifier.1.bias"]
    np.testing.assert_allclose(module(branches).detach().numpy(), expected, rtol=1e-10)
