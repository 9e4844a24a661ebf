"""The majority rule against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import torch

from backbones import BranchOutput
from fusion_methods import build_fusion


def voting(probabilities: list[list[float]], shift: float = 0.0) -> BranchOutput:
    """A branch whose softmax gives these probabilities; adding `shift` to its logits must not matter."""
    logits = torch.tensor(probabilities, dtype=torch.float64).log() + shift
    return BranchOutput(torch.zeros(len(probabilities), 2), logits)


def fused(branches: list[BranchOutput]) -> np.ndarray:
    """The rule's class probabilities."""
    classes = branches[0].logits.shape[1]
    return build_fusion("majority", (2,) * len(branches), classes)(branches).softmax(1).numpy()


def test_two_mild_votes_beat_a_sure_one() -> None:
    # Votes (2, 0, 1), mean (.33, .23, .44): (2.33, .23, 1.44) / 4, though the mean prefers class 2.
    got = fused([voting([[0.48, 0.4, 0.12]]), voting([[0.46, 0.24, 0.3]], 3.0), voting([[0.05, 0.05, 0.9]])])
    np.testing.assert_allclose(got, [[2.33 / 4, 0.23 / 4, 1.44 / 4]], rtol=1e-12)


def test_summed_probability_breaks_a_tie() -> None:
    # Votes (1, 1, 0), mean (.35, .5, .15): (1.35, 1.5, .15) / 3.
    got = fused([voting([[0.6, 0.2, 0.2]]), voting([[0.1, 0.8, 0.1]])])
    np.testing.assert_allclose(got, [[1.35 / 3, 1.5 / 3, 0.15 / 3]], rtol=1e-12)


def test_a_class_without_votes_never_wins() -> None:
    # The mean (.25, .3, .45) prefers class 2, for which neither branch votes.
    got = fused([voting([[0.5, 0.05, 0.45]]), voting([[0.0001, 0.5499, 0.45]])])
    assert got.argmax() == 1


def test_agrees_with_counting_votes_one_by_one() -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(4), size=(5, 300))
    winners = []
    for votes in probabilities.transpose(1, 0, 2):
        counts = np.bincount(votes.argmax(1), minlength=4)
        tied = np.flatnonzero(counts == counts.max())
        winners.append(tied[votes.sum(0)[tied].argmax()])
    got = fused([voting(branch.tolist()) for branch in probabilities])
    np.testing.assert_array_equal(got.argmax(1), winners)
    np.testing.assert_allclose(got.sum(1), 1, rtol=1e-12)


def test_scores_are_finite_however_sure_the_branches() -> None:
    branches = [BranchOutput(torch.zeros(1, 2), 1e4 * torch.tensor([[1.0, -1, 0]]))] * 2
    assert torch.isfinite(build_fusion("majority", (2, 2), 3)(branches)).all()
