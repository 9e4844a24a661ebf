"""The mixture of experts, by an independent computation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from backbones import BranchOutput
from fusion_methods import build_fusion


def softmax(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(x) / np.exp(x).sum(1, keepdims=True))


def perceptron(x: np.ndarray, layers: nn.Module) -> np.ndarray:
    hidden = np.maximum(x @ layers[0].weight.detach().numpy().T + layers[0].bias.detach().numpy(), 0)
    return np.asarray(hidden @ layers[3].weight.detach().numpy().T + layers[3].bias.detach().numpy())


@pytest.mark.parametrize("dims", [(8, 12), (8, 12, 4)])
def test_scores_and_loss_are_those_of_the_mixture(dims: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    module = build_fusion("experts:balance=0.5,width=16", dims, 5).double()
    generator = np.random.default_rng(3)
    features, targets = [generator.normal(size=(6, d)) * 2 for d in dims], generator.integers(0, 5, 6)
    joined = np.concatenate(features, axis=1)
    trusted = softmax(joined @ module.router.weight.detach().numpy().T + module.router.bias.detach().numpy())
    experts = [softmax(perceptron(x, e)) for x, e in zip([*features, joined], module.experts, strict=True)]
    mixed = sum(trusted[:, k : k + 1] * p for k, p in enumerate(experts))
    branches = [BranchOutput(torch.from_numpy(x), torch.zeros(6, 5, dtype=torch.float64)) for x in features]
    scores = module(branches)
    np.testing.assert_allclose(scores.detach().exp().numpy(), mixed, rtol=1e-10)
    share = trusted.mean(0)
    expected = -np.log(mixed[range(6), targets]).mean() + 0.5 * (share.std() / share.mean()) ** 2
    assert module.training_loss(scores, branches, torch.from_numpy(targets)).item() == pytest.approx(expected)
