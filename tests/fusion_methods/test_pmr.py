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
    module = build_fusion("pmr:strength=2,momentum=0.75,refresh=2", dims, 3).double()
    generator = np.random.default_rng(1)
    backbones = [nn.Linear(2, 2) for _ in dims]
    prototypes: list[np.ndarray] = []
    gathered: list[tuple[list[np.ndarray], np.ndarray]] = []
    batches = [[0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 1, 1], [2, 1, 0, 0, 2, 1], [1, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1]]
    for step, classes in enumerate([*batches, [1, 1, 1, 0, 0, 0], [2, 1, 0, 0, 2, 1]]):
        targets = np.array(classes)
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
        gathered.append((features, targets))
        if step % 2:
            prototypes = [refreshed(i, prototypes, gathered[-2:]) for i in range(len(dims))]
            for i, p in enumerate(prototypes):
                np.testing.assert_allclose(getattr(module, f"prototypes_{i}").numpy(), p, rtol=1e-12)


def refreshed(
    branch: int, prototypes: list[np.ndarray], gathered: list[tuple[list[np.ndarray], np.ndarray]]
) -> np.ndarray:
    """The prototypes of a branch after two steps; a class that is in neither stays."""
    x = np.concatenate([features[branch] for features, _ in gathered])
    targets = np.concatenate([targets for _, targets in gathered])
    found = []
    for c in range(3):
        own = x[targets == c]
        old = prototypes[branch][c] if prototypes else None
        if not len(own):
            assert old is not None
            found.append(old)
        else:
            found.append(own.mean(0) if old is None else 0.75 * old + 0.25 * own.mean(0))
    return np.array(found)


def test_it_is_joint_fusion_until_every_class_was_seen() -> None:
    module = build_fusion("pmr:refresh=1", (4, 4), 3)
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
