"""Bottleneck fusion: the networks' positions exchange what fits into a few shared tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods._layers import feature_maps
from fusion_methods._registry import register_fusion


@register_fusion(
    "bottleneck",
    title="Bottleneck fusion",
    reference="Nagrani et al. 2021, NeurIPS (attention bottlenecks for multimodal fusion, MBT)",
)
class Bottleneck(nn.Module):
    """Give each branch a transformer over its positions and `tokens` shared ones, which are averaged after each layer.

    z_i = LayerNorm(W_i m_i), one token for each position of the last feature map. In layer l,
    [z_i; s_i] = Transformer_li([z_i; s]), s = mean_i s_i: two branches see each other through s alone, and from the
    second layer on. scores = mean_i V_i mean over positions of z_i; the paper reads a class token, and its networks are
    transformers from the first layer. Positions carry no code. Shapes: maps (B, D_i, h_i, w_i) -> (B, C).
    """

    uses_maps = True
    search_space: ClassVar = {"width": [64, 128, 256], "tokens": [2, 4, 8], "layers": [2, 3], "dropout": [0.0, 0.2]}

    def __init__(
        self,
        feature_dims: Sequence[int],
        num_classes: int,
        *,
        width: int = 128,
        heads: int = 4,
        tokens: int = 4,
        layers: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"bottleneck: {heads} heads do not divide a width of {width}")
        if layers < 2:
            raise ValueError("bottleneck: one layer lets no branch see another; give layers=2 or more")
        self.channels = tuple(feature_dims)
        self.embed = nn.ModuleList(nn.Sequential(nn.Linear(dim, width), nn.LayerNorm(width)) for dim in feature_dims)
        self.shared = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.layers = layers
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 2 * width, dropout, batch_first=True, norm_first=True)
            for _ in range(layers * len(feature_dims))
        )
        self.classifiers = nn.ModuleList(nn.Linear(width, num_classes) for _ in feature_dims)

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        maps = feature_maps(branches, self.channels, "bottleneck")
        own = [embed(x.flatten(2).transpose(1, 2)) for embed, x in zip(self.embed, maps, strict=True)]
        shared = self.shared.expand(len(maps[0]), -1, -1)
        for layer in range(self.layers):
            blocks = self.blocks[layer * len(own) : (layer + 1) * len(own)]
            seen = [block(torch.cat([x, shared], dim=1)) for block, x in zip(blocks, own, strict=True)]
            own = [both[:, : x.shape[1]] for both, x in zip(seen, own, strict=True)]
            shared = torch.stack([both[:, x.shape[1] :] for both, x in zip(seen, own, strict=True)]).mean(0)
        scores = [classify(x.mean(dim=1)) for classify, x in zip(self.classifiers, own, strict=True)]
        return torch.stack(scores).mean(0)
