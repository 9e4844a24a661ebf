"""ResNet18 and ResNet34 with a head of their own over the globally averaged last feature map."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision import models

from backbones._registry import BranchOutput, register_backbone

REFERENCE = "He et al. 2016, Deep Residual Learning for Image Recognition"


class ResNet(nn.Module):
    """Average the last feature map of a torchvision ResNet over its positions and classify with one layer.

    (B, 3, H, W) -> features (B, 512), logits (B, C), maps (B, 512, H/32, W/32).
    """

    def __init__(self, network: models.ResNet, num_classes: int) -> None:
        super().__init__()
        self.feature_dim = network.fc.in_features
        self.body = nn.Sequential()
        for name, child in network.named_children():
            if name not in ("avgpool", "fc"):
                self.body.add_module(name, child)
        self.head = nn.Linear(self.feature_dim, num_classes)

    def forward(self, images: Tensor) -> BranchOutput:
        maps = self.body(images)
        features = maps.mean(dim=(2, 3))
        return BranchOutput(features, self.head(features), maps)

    @staticmethod
    def published_name(name: str) -> str | None:
        """Map a parameter's name in torchvision's file to the name here; None for what is not used."""
        return None if name.startswith("fc.") else f"body.{name}"


@register_backbone("resnet18", title="ResNet18", reference=REFERENCE, pretrained="ResNet18_Weights.IMAGENET1K_V1")
def resnet18(num_classes: int) -> ResNet:
    """Build ResNet18 with random weights."""
    return ResNet(models.resnet18(weights=None), num_classes)


@register_backbone("resnet34", title="ResNet34", reference=REFERENCE, pretrained="ResNet34_Weights.IMAGENET1K_V1")
def resnet34(num_classes: int) -> ResNet:
    """Build ResNet34 with random weights."""
    return ResNet(models.resnet34(weights=None), num_classes)
