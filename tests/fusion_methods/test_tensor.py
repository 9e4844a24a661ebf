"""Tensor fusion against its formula in NumPy."""

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
    module = build_fusion("tensor:width=4,hidden=7", DIMS[:count], 3).double()
    w = {name: value.numpy() for name, value in module.state_dict().items()}
    projected = [np.maximum(x[i] @ w[f"project.{i}.weight"].T + w[f"project.{i}.bias"], 0) for i in range(count)]
    z = [np.concatenate([p, np.ones((6, 1))], axis=1) for p in projected]
    expected = []
    for image in range(6):
        tensor = z[0][image]
        for other in z[1:]:
            tensor = np.multiply.outer(tensor, other[image])
        assert tensor.shape == (5,) * count
        hidden = np.maximum(w["classifier.0.weight"] @ tensor.ravel() + w["classifier.0.bias"], 0)
        expected.append(w["classifier.3.weight"] @ hidden + w["classifier.3.bias"])
    np.testing.assert_allclose(module(branches).detach().numpy(), expected, rtol=1e-10)


def test_a_tensor_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match=r"4 branches at width=32 has 1,185,921 entries.*lower the width"):
        build_fusion("tensor", (512,) * 4, 7)
