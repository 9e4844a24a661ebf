"""OGM-GE's factors and gradients, by an independent computation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from backbones import BranchOutput
from fusion_methods import build_fusion


def drawn(module: nn.Module, dims: tuple[int, ...]) -> tuple[list[BranchOutput], np.ndarray, list[np.ndarray]]:
    """Branches (6, D_i), classes (6,), and every branch's contribution to the scores."""
    generator = np.random.default_rng(3)
    features = [generator.normal(size=(6, dim)) * (i + 1) for i, dim in enumerate(dims)]
    logits = torch.zeros(6, 5, dtype=torch.float64)
    bias = module.bias.detach().numpy() / len(dims)
    own = [x @ w.weight.detach().numpy().T + bias for x, w in zip(features, module.classifiers, strict=True)]
    return [BranchOutput(torch.from_numpy(x), logits) for x in features], generator.integers(0, 5, 6), own


@pytest.mark.parametrize("dims", [(8, 12), (8, 12, 4)])
@pytest.mark.parametrize("as_votes", [False, True])
def test_factors_are_the_papers(dims: tuple[int, ...], as_votes: bool) -> None:
    torch.manual_seed(0)
    module = build_fusion("ogm-ge:strength=0.5", dims, 5).double()
    with torch.no_grad():
        module.bias.normal_()
    branches, targets, own = drawn(module, dims)
    scores = module(branches)
    np.testing.assert_allclose(scores.detach().numpy(), sum(own), rtol=1e-12)
    given = torch.eye(5, dtype=torch.float64)[targets] if as_votes else torch.from_numpy(targets)
    loss = module.training_loss(scores, branches, given)
    assert loss.item() == pytest.approx(float(nn.functional.cross_entropy(scores.detach(), torch.from_numpy(targets))))
    right = [float((np.exp(x) / np.exp(x).sum(1, keepdims=True))[range(6), targets].mean()) for x in own]
    others = [np.mean([s for j, s in enumerate(right) if j != i]) for i in range(len(right))]
    expected = [1 - np.tanh(0.5 * s / o) if s > o else 1.0 for s, o in zip(right, others, strict=True)]
    np.testing.assert_allclose([float(factor) for factor in module.factors], expected, rtol=1e-12)
    assert min(expected) < 1 == max(expected)


def test_gradients_shrink_by_the_factor_and_noise_has_their_spread() -> None:
    torch.manual_seed(0)
    backbones = [nn.Linear(300, 300).double() for _ in range(2)]
    before = []
    for backbone in backbones:
        for parameter in backbone.parameters():
            parameter.grad = torch.randn_like(parameter) * 3
            before.append(parameter.grad.clone())
    module = build_fusion("ogm-ge:noise=false", (8, 8), 5)
    module.factors = [torch.tensor(0.25), torch.tensor(1.0)]
    module.adjust_gradients(backbones)
    after = [parameter.grad.clone() for backbone in backbones for parameter in backbone.parameters()]
    for old, new, factor in zip(before, after, (0.25, 1.0, 1.0, 1.0), strict=True):
        torch.testing.assert_close(new, factor * old)
    noisy = build_fusion("ogm-ge", (8, 8), 5)
    noisy.factors = [torch.tensor(1.0), torch.tensor(1.0)]
    noisy.adjust_gradients(backbones)
    added = backbones[1].weight.grad - after[2]
    assert float(added.std()) == pytest.approx(float(after[2].std()), rel=0.02)
    assert abs(float(added.mean())) < 0.05
