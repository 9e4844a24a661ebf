"""The product rule against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backbones import BranchOutput
from fusion_methods import build_fusion


def voting(probabilities: list[list[float]], shift: float = 0.0) -> BranchOutput:
    """A branch whose softmax gives these probabilities; adding `shift` to its logits must not matter."""
    logits = torch.tensor(probabilities, dtype=torch.float64).log() + shift
    return BranchOutput(torch.zeros(len(probabilities), 2), logits)


def fused(branches: list[BranchOutput]) -> np.ndarray:
    """The rule's class probabilities."""
    return build_fusion("product", (2,) * len(branches), 3)(branches).softmax(1).numpy()


def test_two_branches_by_hand() -> None:
    # (.6 * .1, .3 * .4, .1 * .5) = (.06, .12, .05), which sum to .23.
    got = fused([voting([[0.6, 0.3, 0.1]], 5.0), voting([[0.1, 0.4, 0.5]], -2.0)])
    np.testing.assert_allclose(got, [[6 / 23, 12 / 23, 5 / 23]], rtol=1e-12)


def test_three_branches_by_hand() -> None:
    # (.5 * .5 * .2, .25 * .25 * .4, .25 * .25 * .4) = (.05, .025, .025).
    got = fused([voting([[0.5, 0.25, 0.25]]), voting([[0.5, 0.25, 0.25]]), voting([[0.2, 0.4, 0.4]])])
    np.testing.assert_allclose(got, [[0.5, 0.25, 0.25]], rtol=1e-12)


def test_one_branch_can_veto() -> None:
    got = fused([voting([[0.9, 0.05, 0.05]]), voting([[1e-9, 0.5, 0.5]])])
    assert got.argmax() != 0


@pytest.mark.parametrize("size", [1.0, 1e4])
def test_scores_are_finite_however_sure_the_branches(size: float) -> None:
    branches = [
        BranchOutput(torch.zeros(1, 2), size * torch.tensor([logits])) for logits in ([1.0, -1, 0], [-1.0, 1, 0])
    ]
    scores = build_fusion("product", (2, 2), 3)(branches)
    assert torch.isfinite(scores).all()
    torch.testing.assert_close(scores.softmax(1).sum(1), torch.ones(1))
