"""MMTM against its formula in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backbones import BranchOutput
from fusion_methods import build_fusion, resolve_fusion

SHAPES = ((5, 3, 2), (4, 2, 2), (3, 1, 2))
DIMS = tuple(shape[0] for shape in SHAPES)


def branches_and_maps(count: int) -> tuple[list[BranchOutput], list[np.ndarray]]:
    """Branches with random maps of different channels and grids for four images, in double precision."""
    random = torch.Generator().manual_seed(count)
    maps = [torch.randn(4, *shape, generator=random, dtype=torch.float64) for shape in SHAPES[:count]]
    return [BranchOutput(x.mean((2, 3)), torch.zeros(4, 3), x) for x in maps], [x.numpy() for x in maps]


@pytest.mark.parametrize("count", [2, 3])
def test_value(count: int) -> None:
    branches, maps = branches_and_maps(count)
    module = build_fusion("mmtm:ratio=2", DIMS[:count], 3).double()
    w = {name: value.numpy() for name, value in module.state_dict().items()}
    squeezed = np.concatenate([m.mean((2, 3)) for m in maps], axis=1)
    joint = np.maximum(squeezed @ w["squeeze.weight"].T + w["squeeze.bias"], 0)
    assert joint.shape == (4, sum(DIMS[:count]) // 2)
    scores = []
    for i in range(count):
        gate = 2 / (1 + np.exp(-(joint @ w[f"excite.{i}.weight"].T + w[f"excite.{i}.bias"])))
        gated_map = gate[:, :, None, None] * maps[i]
        scores.append(gated_map.mean((2, 3)) @ w[f"heads.{i}.weight"].T + w[f"heads.{i}.bias"])
    np.testing.assert_allclose(module(branches).detach().numpy(), np.mean(scores, axis=0), rtol=1e-10)


def test_backbones_without_fitting_maps_are_refused() -> None:
    branches, _ = branches_and_maps(2)
    module = build_fusion("mmtm", DIMS[:2], 3).double()
    assert module.uses_maps
    with pytest.raises(ValueError, match="mmtm reads feature maps; use backbones that have them"):
        module([branches[0], branches[1]._replace(maps=None)])
    with pytest.raises(ValueError, match=r"as many channels as there are features \(5, 4\), not 5, 5"):
        module([branches[0], branches[0]])


def test_gradients_reach_the_backbones() -> None:
    assert resolve_fusion("mmtm").end_to_end
