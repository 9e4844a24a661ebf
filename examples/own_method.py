"""A fusion method of one's own: ferfuse reproduce --plugin examples/own_method.py --methods late early gated-sum"""

import torch
from torch import nn

from ferfuse import register_fusion


@register_fusion("gated-sum", title="Gated sum", reference="an example")
class GatedSum(nn.Module):
    """Weigh two branches' projected features by a gate of both. (B, D), (B, D) -> (B, C)."""

    max_branches = 2

    def __init__(self, feature_dims, num_classes, *, width: int = 128):
        super().__init__()
        self.project = nn.ModuleList(nn.Linear(dim, width) for dim in feature_dims)
        self.gate = nn.Linear(2 * width, width)
        self.classify = nn.Linear(width, num_classes)

    def forward(self, branches):
        first, second = (layer(branch.features) for layer, branch in zip(self.project, branches, strict=True))
        gate = torch.sigmoid(self.gate(torch.cat([first, second], dim=1)))
        return self.classify(gate * first + (1 - gate) * second)
