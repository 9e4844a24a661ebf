"""Evidential fusion's combination and loss, by an independent computation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import digamma, gammaln
from scipy.stats import dirichlet

from backbones import BranchOutput
from fusion_methods import build_fusion
from fusion_methods.evidential import combine


def dempster(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Combine two rows of concentrations by masses on the classes and on all of them together."""
    classes = len(first)
    masses = [np.append((a - 1) / a.sum(), classes / a.sum()) for a in (first, second)]
    joined = np.zeros(classes + 1)
    for i, p in enumerate(masses[0]):
        for j, q in enumerate(masses[1]):
            if i == j or classes in (i, j):
                joined[min(i, j)] += p * q
    joined /= joined.sum()
    return np.asarray(joined[:-1] * classes / joined[-1] + 1)


def divergence(a: np.ndarray) -> float:
    """KL(Dir(a) | Dir(1)), by entropy: the flat density is (C - 1)!."""
    return float(-dirichlet(a).entropy() - gammaln(len(a)))


@pytest.mark.parametrize("dims", [(8, 12), (8, 12, 4)])
@pytest.mark.parametrize("as_votes", [False, True])
def test_scores_and_loss_are_the_papers(dims: tuple[int, ...], as_votes: bool) -> None:
    torch.manual_seed(0)
    module = build_fusion("evidential:weight=0.3", dims, 5).double()
    generator = np.random.default_rng(3)
    features, targets = [generator.normal(size=(6, d)) * 2 for d in dims], generator.integers(0, 5, 6)
    own = [
        np.log1p(np.exp(x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy())) + 1
        for x, layer in zip(features, module.evidence, strict=True)
    ]
    combined = own[0]
    for other in own[1:]:
        combined = np.array([dempster(a, b) for a, b in zip(combined, other, strict=True)])
    branches = [BranchOutput(torch.from_numpy(x), torch.zeros(6, 5, dtype=torch.float64)) for x in features]
    scores = module(branches)
    np.testing.assert_allclose(scores.detach().exp().numpy(), combined / combined.sum(1, keepdims=True), rtol=1e-10)
    expected = 0.0
    for rows in [*own, combined]:
        for a, c in zip(rows, targets, strict=True):
            kept = np.where(np.arange(5) == c, 1, a)
            expected += (digamma(a.sum()) - digamma(a[c]) + 0.3 * divergence(kept)) / 6
    given = torch.eye(5, dtype=torch.float64)[targets] if as_votes else torch.from_numpy(targets)
    assert module.training_loss(scores, branches, given).item() == pytest.approx(expected, rel=1e-9)


def test_a_branch_without_evidence_changes_nothing() -> None:
    told = torch.tensor([[4.0, 1.0, 1.5]])
    torch.testing.assert_close(combine([told, torch.ones(1, 3)]), told)
    torch.testing.assert_close(combine([torch.ones(1, 3), told]), told)
