"""PMR's prototypes and loss, by an independent computation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from backbones import BranchOutput
from fusion_methods import build_fusion


def entropy(x: np.ndarray, targets: np.ndarray) -> float:
    return float(np.mean(np.log(np.exp(x).sum(1)) - x[range(len(x)), targets]))


@pytest.mark.parametrize("dims", [(4, 6), (4, 6, 3)])
def test_the_branch_that_lags_learns_from_its_prototypes(dims: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    module = build_fusion("pmr:strength=2,momentum=0.75", dims, 3).double()
    generator = np.random.default_rng(1)
    backbones = [nn.Linear(2, 2) for _ in dims]
    prototypes: list[np.ndarray] = []
    batches = [np.array([0, 1, 2, 0, 1, 2]), np.array([0, 0, 0, 1, 1, 1]), np.array([2, 1, 0, 0, 2, 1])]
    for step, targets in enumerate(batches):
        features = [generator.normal(size=(6, d)) + targets[:, None] * (i + 1) for i, d in enumerate(dims)]
        branches = [
            BranchOutput(torch.from_numpy(x).requires_grad_(), torch.zeros(6, 3, dtype=torch.float64)) for x in features
        ]
        scores = module(branches)
        loss = module.training_loss(scores, branches, torch.from_numpy(targets)).item()
        expected = entropy(scores.detach().numpy(), targets)
        if prototypes:
            near = [
                -np.sqrt(((x[:, None, :] - p[None]) ** 2).sum(2)) for x, p in zip(features, prototypes, strict=True)
            ]
            right = [float((np.exp(x) / np.exp(x).sum(1, keepdims=True))[range(6), targets].mean()) for x in near]
            lag = [min(1.0, max(right) / q - 1) for q in right]
            assert min(lag) == 0 < max(lag)
            expected += 2 * sum(w * entropy(x, targets) for w, x in zip(lag, near, strict=True))
        assert loss == pytest.approx(expected, rel=1e-12)
        module.adjust_gradients(backbones)
        means = [
            np.array([x[targets == c].mean(0) if (targets == c).any() else 0 * x[0] for c in range(3)])
            for x in features
        ]
        seen = np.isin(np.arange(3), targets)[:, None]
        prototypes = (
            means
            if step == 0
            else [np.where(seen, 0.75 * p + 0.25 * m, p) for p, m in zip(prototypes, means, strict=True)]
        )
        for i, p in enumerate(prototypes):
            np.testing.assert_allclose(getattr(module, f"prototypes_{i}").numpy(), p, rtol=1e-12)


def test_it_is_joint_fusion_until_every_class_was_seen() -> None:
    module = build_fusion("pmr", (4, 4), 3)
    branches = [BranchOutput(torch.randn(4, 4).requires_grad_(), torch.zeros(4, 3)) for _ in range(2)]
    targets = torch.tensor([0, 1, 0, 1])
    for _ in range(2):
        scores = module(branches)
        assert module.training_loss(scores, branches, targets) == nn.functional.cross_entropy(scores, targets)
        module.adjust_gradients([nn.Linear(1, 1)] * 2)
    assert module.known.tolist() == [True, True, False]


def test_frozen_backbones_leave_nothing_behind() -> None:
    module = build_fusion("pmr", (4, 4), 3)
    branches = [BranchOutput(torch.randn(4, 4), torch.zeros(4, 3)) for _ in range(2)]
    module.training_loss(module(branches), branches, torch.tensor([0, 1, 2, 0]))
    assert not module.batch
