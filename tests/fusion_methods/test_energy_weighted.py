"""Energy-weighted late fusion by an independent computation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backbones import BranchOutput
from fusion_methods import build_fusion


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("count", [2, 3])
def test_scores_are_logits_weighted_by_their_energy(temperature: float, count: int) -> None:
    logits = np.random.default_rng(0).normal(size=(count, 6, 5)) * 4
    module = build_fusion(f"energy-weighted:temperature={temperature}", (8,) * count, 5)
    energy = temperature * np.log(np.exp(logits / temperature).sum(axis=2))
    expected = (energy[..., None] / 10 * logits).sum(axis=0)
    scores = module([BranchOutput(torch.zeros(6, 8), torch.from_numpy(x)) for x in logits])
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-12)


def test_the_branch_that_is_certain_decides() -> None:
    certain, unsure = torch.tensor([[9.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.9]])
    module = build_fusion("energy-weighted", (8, 8), 3)
    empty = torch.zeros(1, 8)
    assert int(module([BranchOutput(empty, certain), BranchOutput(empty, unsure)]).argmax()) == 0
