"""The fusion attention network: one branch asks, the others answer, and all of them are the value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import BranchOutput
from backbones.pooling import average_to
from fusion_methods._layers import ToWidth, feature_maps, mlp
from fusion_methods._registry import register_fusion
from fusion_methods._scalar_attention import attend_scalars

REFERENCE = "Tran et al., Fusion Attention Network For Facial Emotion Recognition"
AXES = ("feature", "token", "spatial", "batch")


class LocalAttention(nn.Module):
    """Mix neighbouring features by a convolution between two linear layers, each with an addition around it.

    h = W1 x; h = h + relu(conv1d(h)); y = x + W2 h. The convolution's bias starts at zero: torch's random one
    outweighs h, which is small, and where it is negative no image passes the ReLU. Shapes: (B, D) -> (B, D).
    """

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.conv = nn.Conv1d(1, 1, kernel, padding="same")
        nn.init.zeros_(self.conv.get_parameter("bias"))
        self.outer = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        h = self.inner(x)
        h = h + F.relu(self.conv(h.unsqueeze(1)).squeeze(1))
        out: Tensor = x + self.outer(h)
        return out


@register_fusion("attention-fusion", title="Attention fusion", reference=REFERENCE)
class AttentionFusion(nn.Module):
    """Let the first branch's features attend to the other's and weigh the mean of all.

    m = MLP([f_1; ...; f_n]); Q = f_1; K = mean(f_2 ... f_n); V = mean(f_1, ..., f_n, m);
    a = softmax(Q Kᵀ / √d) V ⊗ V; y = local(a); scores = MLP(y).

    `axis` says over what the softmax runs. `feature`: each vector is `width` tokens of width 1. `token`: it is
    `tokens` tokens of width/tokens. `spatial`: the tokens are the positions of the last feature map, averaged
    afterwards. `batch`: the tokens are the images of the batch, so that each prediction depends on its neighbours.
    d is the size of Q's rows (`width` for `feature`, the formula's d_K as printed). `gate` keeps or drops ⊗ V.
    Shapes: features (B, D_i), or maps (B, D_i, h_i, w_i) for `spatial` -> (B, C).
    """

    search_space: ClassVar = {"width": [256, 512], "dropout": [0.0, 0.2, 0.5]}

    def __init__(
        self,
        feature_dims: Sequence[int],
        num_classes: int,
        *,
        axis: str = "feature",
        gate: bool = True,
        tokens: int = 8,
        width: int = 512,
        kernel: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if axis not in AXES:
            raise ValueError(f"attention-fusion has no axis '{axis}'; use one of {', '.join(AXES)}")
        if axis == "token" and width % tokens:
            raise ValueError(f"attention-fusion: {tokens} tokens do not divide a width of {width}")
        if kernel % 2 == 0:
            raise ValueError(f"attention-fusion: kernel={kernel} has no middle; use an odd one")
        self.feature_dims = tuple(feature_dims)
        self.axis, self.gate, self.tokens = axis, gate, tokens
        self.uses_maps = axis == "spatial"
        self.batch_dependent = axis == "batch"
        self.project = ToWidth(feature_dims, width)
        self.merge = mlp(len(feature_dims) * width, width, width, dropout)
        self.local = self.local_attention(width, kernel)
        self.classifier = mlp(width, width // 2, num_classes, dropout)

    def local_attention(self, width: int, kernel: int) -> nn.Module:
        """Build the block that follows the self attention."""
        return LocalAttention(width, kernel)

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        features = self.project(self.positions(branches) if self.uses_maps else [b.features for b in branches])
        merged = self.merge(torch.cat(features, dim=-1))
        query, key = features[0], torch.stack(features[1:]).mean(dim=0)
        value = torch.stack([*features, merged]).mean(dim=0)
        attended = self.attend(query, key, value)
        if self.gate:
            attended = attended * value
        if self.uses_maps:
            attended = attended.mean(dim=1)
        scores: Tensor = self.classifier(self.local(attended))
        return scores

    def positions(self, branches: Sequence[BranchOutput]) -> list[Tensor]:
        """Return every branch's last feature map as (B, h w, D_i), on the coarsest grid among them."""
        maps = feature_maps(branches, self.feature_dims, "attention-fusion:axis=spatial")
        height, width = min(x.shape[2] for x in maps), min(x.shape[3] for x in maps)
        return [average_to(x, height, width).flatten(2).transpose(1, 2) for x in maps]

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return softmax(Q Kᵀ / √d) V over the chosen axis; inputs and output (B, D), or (B, T, D) for `spatial`."""
        if self.axis == "feature":
            return attend_scalars(query, key, value, 1 / math.sqrt(query.shape[1]))
        if self.axis == "token":
            cut = [x.unflatten(1, (self.tokens, -1)) for x in (query, key, value)]
            return F.scaled_dot_product_attention(*cut).flatten(1)
        if self.axis == "batch":
            return F.scaled_dot_product_attention(query[None], key[None], value[None]).squeeze(0)
        return F.scaled_dot_product_attention(query, key, value)


@register_fusion(
    "attention-fusion-without-local", title="Attention fusion without local attention", reference=REFERENCE
)
class AttentionFusionWithoutLocal(AttentionFusion):
    """Attention fusion whose self attention goes straight to the classifier: y = a."""

    def local_attention(self, width: int, kernel: int) -> nn.Module:
        """Build nothing: the block that is ablated."""
        return nn.Identity()
