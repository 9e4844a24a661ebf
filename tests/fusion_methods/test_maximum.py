"""The maximum rule against numbers worked out by hand."""

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
    return build_fusion("maximum", (2,) * len(branches), 3)(branches).softmax(1).numpy()


def test_two_branches_by_hand() -> None:
    # Row 1: maxima (.6, .4, .5), sum 1.5. Row 2: (.2, .7, .2), sum 1.1.
    got = fused([voting([[0.6, 0.3, 0.1], [0.1, 0.7, 0.2]], 5.0), voting([[0.1, 0.4, 0.5], [0.2, 0.6, 0.2]], -2.0)])
    np.testing.assert_allclose(got, [[6 / 15, 4 / 15, 5 / 15], [2 / 11, 7 / 11, 2 / 11]], rtol=1e-12)


def test_three_branches_by_hand() -> None:
    # Two mild votes for class 0 lose to one sure vote for class 2: maxima (.5, .3, .8), sum 1.6.
    got = fused([voting([[0.5, 0.3, 0.2]]), voting([[0.5, 0.25, 0.25]]), voting([[0.1, 0.1, 0.8]])])
    np.testing.assert_allclose(got, [[5 / 16, 3 / 16, 8 / 16]], rtol=1e-12)


def test_scores_are_finite_however_sure_the_branches() -> None:
    branches = [BranchOutput(torch.zeros(1, 2), 1e4 * torch.tensor([[1.0, -1, 0]]))] * 2
    assert torch.isfinite(build_fusion("maximum", (2, 2), 3)(branches)).all()
