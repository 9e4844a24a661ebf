"""AGM's contributions and factors, by an independent computation."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from torch import nn

from backbones import BranchOutput
from fusion_methods import build_fusion


def scores_of(module: nn.Module, features: list[np.ndarray], present: set[int]) -> np.ndarray:
    """The perceptron's scores with the features of the other branches put to 0, in numpy."""
    x = np.concatenate([row * (i in present) for i, row in enumerate(features)], axis=1)
    first, last = module.classifier[0], module.classifier[3]
    hidden = np.maximum(x @ first.weight.detach().numpy().T + first.bias.detach().numpy(), 0)
    return np.asarray(hidden @ last.weight.detach().numpy().T + last.bias.detach().numpy())


def shapley(module: nn.Module, features: list[np.ndarray]) -> list[np.ndarray]:
    """What each branch adds, averaged over all orders in which branches can come; no branch gives 0."""
    added = [np.zeros((6, 5)) for _ in features]
    orders = list(permutations(range(len(features))))
    for order in orders:
        before = np.zeros((6, 5))
        for place, i in enumerate(order):
            after = scores_of(module, features, set(order[: place + 1]))
            added[i] += (after - before) / len(orders)
            before = after
    return added


def entropy(x: np.ndarray, targets: np.ndarray) -> float:
    return float(np.mean(np.log(np.exp(x).sum(1)) - x[range(len(x)), targets]))


def ratios(losses: np.ndarray) -> np.ndarray:
    return np.array([np.exp(np.mean(np.delete(losses, i) - losses[i])) for i in range(len(losses))])


@pytest.mark.parametrize("dims", [(8, 12), (8, 12, 4)])
def test_factors_are_those_of_shapley_values_against_their_mean_over_steps(dims: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    module = build_fusion("agm:strength=0.5,width=16", dims, 5).double()
    generator = np.random.default_rng(3)
    backbones = [nn.Linear(3, 3).double() for _ in dims]
    seen: list[np.ndarray] = []
    for step in range(3):
        features = [generator.normal(size=(6, dim)) * (step + i + 1) for i, dim in enumerate(dims)]
        targets = generator.integers(0, 5, 6)
        branches = [BranchOutput(torch.from_numpy(x), torch.zeros(6, 5, dtype=torch.float64)) for x in features]
        scores = module(branches)
        own = shapley(module, features)
        np.testing.assert_allclose(sum(own), scores.detach().numpy(), atol=1e-12)
        loss = module.training_loss(scores, branches, torch.from_numpy(targets))
        assert loss.item() == pytest.approx(entropy(scores.detach().numpy(), targets))
        losses = np.array([entropy(x, targets) for x in own])
        usual = ratios(np.mean(seen, axis=0)) if seen else np.ones(len(dims))
        for backbone in backbones:
            for parameter in backbone.parameters():
                parameter.grad = torch.full_like(parameter, 2.0)
        module.adjust_gradients(backbones)
        expected = np.exp(0.5 * (usual - ratios(losses)))
        for backbone, factor in zip(backbones, expected, strict=True):
            for parameter in backbone.parameters():
                np.testing.assert_allclose(parameter.grad.numpy(), 2 * factor, rtol=1e-10)
        seen.append(losses)
    assert expected.min() < 1 < expected.max()


def test_a_step_without_a_loss_of_its_own_changes_nothing() -> None:
    module, backbone = build_fusion("agm", (8, 8), 5), nn.Linear(2, 2)
    backbone.weight.grad = torch.ones(2, 2)
    module.adjust_gradients([backbone, backbone])
    assert backbone.weight.grad.tolist() == [[1, 1], [1, 1]]
