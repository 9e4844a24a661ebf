"""Late fusion averages probabilities."""

from __future__ import annotations

import numpy as np
import torch

from backbones import BranchOutput
from fusion_methods import build_fusion


def branch(logits: list[list[float]]) -> BranchOutput:
    scores = torch.tensor(logits, dtype=torch.float64)
    return BranchOutput(torch.zeros(len(scores), 1, dtype=torch.float64), scores)


def test_two_classes_by_hand() -> None:
    """Odds of 3:1 and 1:4 are probabilities of 3/4 and 1/5; their mean for the first class is 19/40."""
    branches = [branch([[np.log(3.0), 0.0]]), branch([[0.0, np.log(4.0)]])]
    scores = build_fusion("late", (1, 1), 2)(branches)
    expected = torch.tensor([[19 / 40, 21 / 40]], dtype=torch.float64)
    torch.testing.assert_close(scores.exp(), expected, rtol=1e-14, atol=0)


def test_scores_are_log_of_the_mean_probability() -> None:
    draws = np.random.default_rng(0).normal(scale=5, size=(3, 8, 7))
    powers = np.exp(draws)
    expected = np.mean(powers / powers.sum(axis=2, keepdims=True), axis=0)
    scores = build_fusion("late", (1, 1, 1), 7)([branch(x.tolist()) for x in draws])
    np.testing.assert_allclose(torch.softmax(scores, dim=1).numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(scores.exp().numpy(), expected, rtol=1e-12)


def test_the_mean_of_probabilities_is_not_that_of_logits() -> None:
    """A sure branch outweighs two doubtful ones in logits, not in probabilities."""
    branches = [branch([[20.0, 0.0]]), branch([[0.0, 3.0]]), branch([[0.0, 3.0]])]
    assert int(build_fusion("late", (1, 1, 1), 2)(branches).argmax()) == 1
    assert int(sum(b.logits for b in branches).argmax()) == 0


def test_huge_logits_stay_finite() -> None:
    scores = build_fusion("late", (1, 1), 2)([branch([[1e4, 0.0]]), branch([[0.0, 1e4]])])
    torch.testing.assert_close(scores.exp(), torch.full((1, 2), 0.5, dtype=torch.float64))


def test_nothing_is_learnt() -> None:
    assert not list(build_fusion("late", (1, 1), 2).parameters())
