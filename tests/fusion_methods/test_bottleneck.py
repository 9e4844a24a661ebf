"""Bottleneck fusion against a transformer that is written out, and what goes through the bottleneck."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from backbones import BranchOutput
from fusion_methods import build_fusion


def norm(x: np.ndarray, layer: nn.Module) -> np.ndarray:
    z = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + layer.eps)
    return np.asarray(z * layer.weight.detach().numpy() + layer.bias.detach().numpy())


def linear(x: np.ndarray, weight: torch.Tensor, bias: torch.Tensor) -> np.ndarray:
    return np.asarray(x @ weight.detach().numpy().T + bias.detach().numpy())


def block(x: np.ndarray, layer: nn.TransformerEncoderLayer, heads: int) -> np.ndarray:
    """Attention and a perceptron, each on what LayerNorm gives and added to what was there; x (T, W)."""
    inner, attention = norm(x, layer.norm1), layer.self_attn
    query, key, value = np.split(linear(inner, attention.in_proj_weight, attention.in_proj_bias), 3, axis=1)
    read = []
    for q, k, v in zip(*(np.split(one, heads, axis=1) for one in (query, key, value)), strict=True):
        scores = np.exp(q @ k.T / np.sqrt(q.shape[1]))
        read.append(scores / scores.sum(1, keepdims=True) @ v)
    x = x + linear(np.concatenate(read, axis=1), attention.out_proj.weight, attention.out_proj.bias)
    hidden = np.maximum(linear(norm(x, layer.norm2), layer.linear1.weight, layer.linear1.bias), 0)
    return np.asarray(x + linear(hidden, layer.linear2.weight, layer.linear2.bias))


@pytest.mark.parametrize("dims", [(6, 10), (6, 10, 4)])
def test_scores_are_the_papers(dims: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    module = build_fusion("bottleneck:width=8,heads=2,tokens=3", dims, 5).double().eval()
    maps = [torch.randn(2, d, 2 + i, 2, dtype=torch.float64) for i, d in enumerate(dims)]
    branches = [BranchOutput(x.mean((2, 3)), torch.zeros(2, 5, dtype=torch.float64), x) for x in maps]
    expected = np.zeros((2, 5))
    for image in range(2):
        own = [
            norm(linear(x[image].flatten(1).T.numpy(), embed[0].weight, embed[0].bias), embed[1])
            for x, embed in zip(maps, module.embed, strict=True)
        ]
        shared = module.shared.detach().numpy()
        for layer in range(2):
            blocks = [module.blocks[layer * len(dims) + i] for i in range(len(dims))]
            seen = [block(np.concatenate([x, shared]), one, 2) for x, one in zip(own, blocks, strict=True)]
            own = [both[:-3] for both in seen]
            shared = np.mean([both[-3:] for both in seen], axis=0)
        each = [linear(x.mean(0), c.weight, c.bias) for x, c in zip(own, module.classifiers, strict=True)]
        expected[image] = np.mean(each, axis=0)
    with torch.no_grad():
        np.testing.assert_allclose(module(branches).numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("settings", "fault"), [("layers=1", "one layer lets no branch see another"), ("width=9", "4 heads do not divide")]
)
def test_settings_that_make_no_bottleneck_are_refused(settings: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        build_fusion(f"bottleneck:{settings}", (6, 6), 5)
