"""Cross-attention against its formula in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backbones import BranchOutput
from fusion_methods import build_fusion

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
    module = build_fusion("cross-attention:width=8,heads=2", DIMS[:count], 3).double()
    for name, parameter in module.named_parameters():
        if name.startswith("embed."):
            torch.nn.init.normal_(parameter)
    w = {name: value.numpy() for name, value in module.state_dict().items()}

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return w[f"{name}.weight"] @ x + w.get(f"{name}.bias", 0)

    def token(i: int, pixel: np.ndarray) -> np.ndarray:
        x = linear(pixel, f"embed.{i}.0")
        normalised = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
        return normalised * w[f"embed.{i}.1.weight"] + w[f"embed.{i}.1.bias"]

    expected = []
    for image in range(4):
        tokens = [[token(i, m[image][:, r, c]) for r, c in np.ndindex(m.shape[2:])] for i, m in enumerate(maps)]
        pooled = []
        for i in range(count):
            others = [t for j in range(count) if j != i for t in tokens[j]]
            keys = np.array([linear(t, f"attention.{i}.key") for t in others])
            values = np.array([linear(t, f"attention.{i}.value") for t in others])
            answers = []
            for t in tokens[i]:
                query = linear(t, f"attention.{i}.query")
                heads = []
                for part in (slice(0, 4), slice(4, 8)):
                    weights = np.exp(keys[:, part] @ query[part] / np.sqrt(4))
                    heads.append(weights / weights.sum() @ values[:, part])
                answers.append(t + linear(np.concatenate(heads), f"attention.{i}.output"))
            pooled.append(np.mean(answers, axis=0))
        hidden = np.maximum(linear(np.concatenate(pooled), "classifier.0"), 0)
        expected.append(linear(hidden, "classifier.3"))
    np.testing.assert_allclose(module(branches).detach().numpy(), expected, rtol=1e-9)


def test_with_maps_of_one_position_queries_and_keys_do_not_matter() -> None:
    branches, _ = branches_and_maps(2)
    module = build_fusion("cross-attention:width=8,heads=2", DIMS[:2], 3).double()
    single = [b._replace(maps=b.maps[:, :, :1, :1]) for b in branches if b.maps is not None]
    scores = module(single)
    for name, parameter in module.named_parameters():
        if ".query." in name or ".key." in name:
            torch.nn.init.normal_(parameter)
    torch.testing.assert_close(module(single), scores)
    assert not torch.allclose(module([single[0], branches[1]]), scores)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="3 heads do not divide a width of 256"):
        build_fusion("cross-attention:heads=3", DIMS[:2], 3)


def test_backbones_without_fitting_maps_are_refused() -> None:
    branches, _ = branches_and_maps(2)
    module = build_fusion("cross-attention", DIMS[:2], 3).double()
    assert module.uses_maps
    with pytest.raises(ValueError, match="cross-attention reads feature maps; use backbones that have them"):
        module([branches[0], branches[1]._replace(maps=None)])
    with pytest.raises(ValueError, match=r"as many channels as there are features \(5, 4\), not 5, 5"):
        module([branches[0], branches[0]])
