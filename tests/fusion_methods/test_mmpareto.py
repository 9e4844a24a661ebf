"""MMPareto's gradients, from those of each loss taken alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods import build_fusion
from fusion_methods.mmpareto import least_norm_weight


class Branch(nn.Module):
    """A linear backbone with a classifier of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> BranchOutput:
        features = torch.tanh(self.body(x))
        return BranchOutput(features, self.head(features))


def losses_of(module: nn.Module, backbones: list[Branch], x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
    branches = [backbone(x) for backbone in backbones]
    return F.cross_entropy(module(branches), y), [F.cross_entropy(branch.logits, y) for branch in branches]


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_gradients_are_the_papers(seed: int, parts: int) -> None:
    torch.manual_seed(seed)
    module = build_fusion("mmpareto:width=16", (8, 8), 5).double()
    backbones = [Branch().double() for _ in range(2)]
    with torch.no_grad():
        module.classifier[3].weight.mul_(-8 if seed % 2 else 8)  # the fused loss wants something else than the branches
    x, y = torch.randn(12, 6, dtype=torch.float64), torch.arange(12) % 5
    bodies = [list(backbone.body.parameters()) for backbone in backbones]
    fused, own = losses_of(module, backbones, x, y)
    of_fused = [torch.autograd.grad(fused, body, retain_graph=True) for body in bodies]
    of_own = [torch.autograd.grad(loss, body, retain_graph=True) for loss, body in zip(own, bodies, strict=True)]
    of_heads = [torch.autograd.grad(loss, b.head.weight)[0] for loss, b in zip(own, backbones, strict=True)]

    for part_x, part_y in zip(x.split(12 // parts), y.split(12 // parts), strict=True):
        branches = [backbone(part_x) for backbone in backbones]
        (module.training_loss(module(branches), branches, part_y) / parts).backward()
    module.adjust_gradients(backbones)

    for body, g, u, backbone, head in zip(bodies, of_fused, of_own, backbones, of_heads, strict=True):
        a, b = (np.concatenate([x.numpy().ravel() for x in each]) for each in (g, u))
        w = 0.5
        if a @ b < 0:
            w = minimize_scalar(lambda w: np.sum((w * a + (1 - w) * b) ** 2), (0, 1), (0, 1), method="bounded").x  # noqa: B023
        for parameter, x1, x2 in zip(body, g, u, strict=True):
            h = 2 * w * x1 + 2 * (1 - w) * x2
            expected = 1.5 * max(1.0, float((x1 + x2).norm() / h.norm())) * h
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-5, atol=1e-8)
        torch.testing.assert_close(backbone.head.weight.grad, head)
    assert not module.joint


def test_some_of_these_gradients_are_opposed_and_some_are_not() -> None:
    opposed = set()
    for seed in range(4):
        torch.manual_seed(seed)
        module, backbones = build_fusion("mmpareto:width=16", (8, 8), 5).double(), [Branch().double() for _ in range(2)]
        with torch.no_grad():
            module.classifier[3].weight.mul_(-8 if seed % 2 else 8)
        fused, own = losses_of(module, backbones, torch.randn(12, 6, dtype=torch.float64), torch.arange(12) % 5)
        for backbone, loss in zip(backbones, own, strict=True):
            g, u = (torch.autograd.grad(one, backbone.body.weight, retain_graph=True)[0] for one in (fused, loss))
            opposed.add(bool((g * u).sum() < 0))
    assert opposed == {True, False}


@pytest.mark.parametrize(
    ("g", "u", "weight"),
    [([1.0, 0.0], [1.0, 1.0], 0.5), ([1.0, 0.0], [-1.0, 0.0], 0.5), ([3.0, 0.0], [-1.0, 0.0], 0.25)],
)
def test_the_weight_of_the_shortest_combination(g: list[float], u: list[float], weight: float) -> None:
    assert float(least_norm_weight(torch.tensor(g), torch.tensor(u))) == pytest.approx(weight)


def test_frozen_backbones_leave_nothing_behind() -> None:
    module = build_fusion("mmpareto", (8, 8), 5)
    branches = [BranchOutput(torch.randn(4, 8), torch.randn(4, 5)) for _ in range(2)]
    module.training_loss(module(branches), branches, torch.arange(4)).backward()
    assert not module.joint
