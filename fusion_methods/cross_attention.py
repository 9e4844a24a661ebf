"""Cross-attention: each network's positions look at those of the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods._layers import feature_maps, mlp
from fusion_methods._registry import register_fusion


class MultiHeadAttention(nn.Module):
    """Let tokens read others in several heads: O [softmax(Q_1 K_1ᵀ / √d) V_1; ...; softmax(Q_H K_Hᵀ / √d) V_H] + b.

    Q is a layer over the tokens, K and V are over the others; (B, T, W), (B, S, W) -> (B, T, W), d = W/H. The keys
    have no bias: it would add the same number to all scores of a query, which softmax does not notice.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.value, self.output = (nn.Linear(width, width) for _ in range(3))
        self.key = nn.Linear(width, width, bias=False)

    def forward(self, tokens: Tensor, others: Tensor) -> Tensor:
        projected = (self.query(tokens), self.key(others), self.value(others))
        split = [x.unflatten(2, (self.heads, -1)).transpose(1, 2) for x in projected]  # (B, heads, positions, W/heads)
        read: Tensor = self.output(F.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2))
        return read


@register_fusion(
    "cross-attention", title="Cross-attention", reference="Vaswani et al. 2017; Lu et al. 2019, ViLBERT (co-attention)"
)
class CrossAttention(nn.Module):
    """Let every position of one network's last feature map attend to all positions of the other networks' maps.

    x_i = LayerNorm(W_i m_i), one token per position; y_i = x_i + attention_i(query x_i, key and value [x_j: j ≠ i]);
    scores = MLP([mean over positions of y_i: i = 1 ... n]). Grids may differ, and positions carry no code: a token is
    known by its features. If the others have one position in all (two branches, maps of 1x1), softmax over that one
    key is 1 whatever the query: y_i = x_i + a linear map of x_j, and queries and keys get no gradient.
    Shapes: maps (B, D_i, h_i, w_i) -> (B, C).
    """

    uses_maps = True
    search_space: ClassVar = {"width": [128, 256, 512], "heads": [2, 4, 8], "dropout": [0.0, 0.2, 0.5]}

    def __init__(
        self, feature_dims: Sequence[int], num_classes: int, *, width: int = 256, heads: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"cross-attention: {heads} heads do not divide a width of {width}")
        self.channels = tuple(feature_dims)
        self.embed = nn.ModuleList(nn.Sequential(nn.Linear(dim, width), nn.LayerNorm(width)) for dim in feature_dims)
        self.attention = nn.ModuleList(MultiHeadAttention(width, heads) for _ in feature_dims)
        self.classifier = mlp(len(feature_dims) * width, width, num_classes, dropout)

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        maps = feature_maps(branches, self.channels, "cross-attention")
        tokens = [embed(x.flatten(2).transpose(1, 2)) for embed, x in zip(self.embed, maps, strict=True)]
        pooled = []
        for i, attention in enumerate(self.attention):
            others = torch.cat(tokens[:i] + tokens[i + 1 :], dim=1)
            pooled.append((tokens[i] + attention(tokens[i], others)).mean(dim=1))
        scores: Tensor = self.classifier(torch.cat(pooled, dim=1))
        return scores
