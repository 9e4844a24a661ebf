"""Low-rank tensor fusion against its formula in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backbones import BranchOutput
from fusion_methods import build_fusion
from fusion_methods.low_rank_tensor import LowRankTensorFusion

DIMS = (5, 4, 3)


def branches_and_features(count: int) -> tuple[list[BranchOutput], list[np.ndarray]]:
    """Branches with random features of different sizes for six images, in double precision."""
    random = torch.Generator().manual_seed(count)
    features = [torch.randn(6, dim, generator=random, dtype=torch.float64) for dim in DIMS[:count]]
    return [BranchOutput(x, torch.zeros(6, 3)) for x in features], [x.numpy() for x in features]


@pytest.mark.parametrize("count", [2, 3])
def test_value_equals_that_of_the_full_tensor(count: int) -> None:
    branches, x = branches_and_features(count)
    module = LowRankTensorFusion(DIMS[:count], 3, rank=2, width=4, hidden=7).double()
    torch.nn.init.normal_(module.bias)
    w = {name: value.numpy() for name, value in module.state_dict().items()}
    projected = [np.maximum(x[i] @ w[f"project.{i}.weight"].T + w[f"project.{i}.bias"], 0) for i in range(count)]
    z = [np.concatenate([p, np.ones((6, 1))], axis=1) for p in projected]
    full = np.zeros((7, *(5,) * count))
    for unit in range(7):
        for r in range(2):
            term = w["factors.0"][r, :, unit]
            for i in range(1, count):
                term = np.multiply.outer(term, w[f"factors.{i}"][r, :, unit])
            full[unit] += term
    expected = []
    for image in range(6):
        tensor = z[0][image]
        for other in z[1:]:
            tensor = np.multiply.outer(tensor, other[image])
        hidden = np.maximum(full.reshape(7, -1) @ tensor.ravel() + w["bias"], 0)
        expected.append(w["classifier.2.weight"] @ hidden + w["classifier.2.bias"])
    np.testing.assert_allclose(module(branches).detach().numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("count", [2, 3])
def test_factors_are_parameters_that_learn(count: int) -> None:
    module = build_fusion("low-rank-tensor:rank=2", (64,) * count, 3)
    random = torch.Generator().manual_seed(0)
    branches = [BranchOutput(torch.rand(32, 64, generator=random), torch.zeros(32, 3)) for _ in range(count)]
    torch.nn.functional.cross_entropy(module(branches), torch.arange(32) % 3).backward()
    gradients = {name: p.grad for name, p in module.named_parameters() if name.startswith("factors.")}
    assert set(gradients) == {f"factors.{i}" for i in range(count)}
    assert all(gradient is not None and gradient.norm() > 1e-2 for gradient in gradients.values())
