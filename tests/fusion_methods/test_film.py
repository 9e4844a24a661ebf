"""FiLM against its formula in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backbones import BranchOutput
from fusion_methods import build_fusion
from fusion_methods.film import FeatureWiseModulation

DIMS = (5, 4, 3)


def branches_and_features(count: int) -> tuple[list[BranchOutput], list[np.ndarray]]:
    """Branches with random features of different sizes for six images, in double precision."""
    random = torch.Generator().manual_seed(count)
    features = [torch.randn(6, dim, generator=random, dtype=torch.float64) for dim in DIMS[:count]]
    return [BranchOutput(x, torch.zeros(6, 3)) for x in features], [x.numpy() for x in features]


@pytest.mark.parametrize("count", [2, 3])
def test_value(count: int) -> None:
    branches, x = branches_and_features(count)
    module = build_fusion("film:width=8", DIMS[:count], 3).double()
    w = {name: value.numpy() for name, value in module.state_dict().items()}
    predicted = np.concatenate(x[1:], axis=1) @ w["modulation.weight"].T + w["modulation.bias"]
    gamma, beta = 1 + predicted[:, :5], predicted[:, 5:]
    modulated = np.maximum(gamma * x[0] + beta, 0)
    hidden = np.maximum(modulated @ w["classifier.0.weight"].T + w["classifier.0.bias"], 0)
    expected = hidden @ w["classifier.3.weight"].T + w["classifier.3.bias"]
    np.testing.assert_allclose(module(branches).detach().numpy(), expected, rtol=1e-10)


def test_without_modulation_the_first_branch_decides_alone() -> None:
    branches, _ = branches_and_features(2)
    module = FeatureWiseModulation(DIMS[:2], 3, width=8).double()
    for parameter in module.modulation.parameters():
        torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(module(branches), module.classifier(branches[0].features.relu()))
