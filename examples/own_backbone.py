"""A backbone of one's own: ferfuse reproduce --plugin examples/own_backbone.py --backbones resnet18 small-cnn"""

from itertools import pairwise

import torch
from torch import nn

from backbones import BranchOutput
from ferfuse import register_backbone


@register_backbone("small-cnn", title="Small CNN", reference="an example")
class SmallCNN(nn.Module):
    """Three convolutions and a mean over positions. (B, 3, H, W) -> features (B, 64), maps (B, 64, H/8, W/8)."""

    feature_dim = 64

    def __init__(self, num_classes: int):
        super().__init__()
        sizes = (3, 16, 32, 64)
        self.body = nn.Sequential(
            *(
                layer
                for wide, wider in pairwise(sizes)
                for layer in (nn.Conv2d(wide, wider, 3, stride=2, padding=1), nn.BatchNorm2d(wider), nn.ReLU())
            )
        )
        self.head = nn.Linear(self.feature_dim, num_classes)

    def forward(self, images: torch.Tensor) -> BranchOutput:
        maps = self.body(images)
        features = maps.mean(dim=(2, 3))
        return BranchOutput(features, self.head(features), maps)
