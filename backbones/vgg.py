"""VGG11 and VGG13, pooled to 512 features or with their own 4096-wide classifier."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models import vgg

from backbones._registry import BranchOutput, register_backbone
from backbones.pooling import average_to

REFERENCE = "Simonyan and Zisserman 2015, Very Deep Convolutional Networks for Large-Scale Image Recognition"
Layers = list[str | int]  # channels of each convolution, and "M" for a maximum over 2×2


class PooledVGG(nn.Module):
    """Average the last feature map of a torchvision VGG over its positions and classify with one layer.

    Weights are drawn as torchvision draws them, without the 119 million of the classifier that is not used.
    (B, 3, H, W) -> features (B, 512), logits (B, C), maps (B, 512, H/32, W/32).
    """

    feature_dim = 512

    def __init__(self, layers: Layers, num_classes: int) -> None:
        super().__init__()
        self.body = vgg.make_layers(layers, batch_norm=False)
        for layer in self.body:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.get_parameter("bias"))
        self.head = nn.Linear(self.feature_dim, num_classes)

    def forward(self, images: Tensor) -> BranchOutput:
        maps = self.body(images)
        features = maps.mean(dim=(2, 3))
        return BranchOutput(features, self.head(features), maps)

    @staticmethod
    def published_name(name: str) -> str | None:
        """Map a parameter's name in torchvision's file to the name here; None for what is not used."""
        return name.replace("features.", "body.", 1) if name.startswith("features.") else None


class ClassifierVGG(nn.Module):
    """Run VGG's own two 4096-wide layers over the last feature map, pooled to 7×7, and classify their output.

    (B, 3, H, W) -> features (B, 4096), logits (B, C), maps (B, 512, H/32, W/32).
    """

    feature_dim = 4096

    def __init__(self, layers: Layers, num_classes: int) -> None:
        super().__init__()
        network = vgg.VGG(vgg.make_layers(layers, batch_norm=False))
        self.body = network.features
        self.classifier = network.classifier[:-1]
        self.head = nn.Linear(self.feature_dim, num_classes)

    def forward(self, images: Tensor) -> BranchOutput:
        maps = self.body(images)
        features = self.classifier(average_to(maps, 7, 7).flatten(1))
        return BranchOutput(features, self.head(features), maps)

    @staticmethod
    def published_name(name: str) -> str | None:
        """Map a parameter's name in torchvision's file to the name here; None for what is not used."""
        if name.startswith("classifier.6."):
            return None
        return name.replace("features.", "body.", 1)


def _vgg(layers: Layers, num_classes: int, head: str) -> nn.Module:
    heads = {"pooled": PooledVGG, "classifier": ClassifierVGG}
    if head not in heads:
        raise ValueError(f"VGG has no head '{head}'; use head=pooled (512 features) or head=classifier (4096)")
    return heads[head](layers, num_classes)


@register_backbone("vgg11", title="VGG11", reference=REFERENCE, pretrained="VGG11_Weights.IMAGENET1K_V1")
def vgg11(num_classes: int, *, head: str = "pooled") -> nn.Module:
    """Build VGG11 with random weights."""
    return _vgg(vgg.cfgs["A"], num_classes, head)


@register_backbone("vgg13", title="VGG13", reference=REFERENCE, pretrained="VGG13_Weights.IMAGENET1K_V1")
def vgg13(num_classes: int, *, head: str = "pooled") -> nn.Module:
    """Build VGG13 with random weights."""
    return _vgg(vgg.cfgs["B"], num_classes, head)
