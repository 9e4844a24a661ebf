"""The loss of joint fusion with a loss for each branch, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backbones import BranchOutput
from fusion_methods import build_fusion


def cross_entropy(logits: np.ndarray, targets: np.ndarray) -> float:
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return float(-(targets * np.log(shares)).sum(axis=1).mean())


@pytest.mark.parametrize("weight", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("count", [2, 3])
def test_the_loss_is_the_fused_one_and_the_weighted_mean_of_the_branches(weight: float, count: int) -> None:
    generator = np.random.default_rng(0)
    module = build_fusion(f"joint-auxiliary:weight={weight},width=16", (8,) * count, 5).double()
    features, logits = generator.normal(size=(count, 6, 8)), generator.normal(size=(count, 6, 5))
    branches = [BranchOutput(torch.from_numpy(x), torch.from_numpy(y)) for x, y in zip(features, logits, strict=True)]
    targets = generator.integers(0, 5, 6)
    scores = module(branches)
    loss = module.training_loss(scores, branches, torch.from_numpy(targets))
    hot = np.eye(5)[targets]
    expected = cross_entropy(scores.detach().numpy(), hot)
    expected += weight * np.mean([cross_entropy(y, hot) for y in logits])
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    assert torch.equal(scores, build_fusion_like(module)(branches))


def build_fusion_like(module: torch.nn.Module) -> torch.nn.Module:
    """Joint fusion with the same weights."""
    plain = build_fusion("joint:width=16", (8,) * (module.classifier[0].in_features // 8), 5).double()
    plain.load_state_dict(module.state_dict())
    return plain
