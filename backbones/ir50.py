"""IR-50, the residual network of face recognition, whose weights trained on MS-Celeb-1M circulate as files."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from backbones._registry import BranchOutput, register_backbone

STAGES = ((64, 3), (128, 4), (256, 14), (512, 3))  # channels and units; the first unit of each halves the map
FEATURES = 512


class Unit(nn.Module):
    """Add normalisation, two 3×3 convolutions and normalisation to what came in: (B, I, H, W) -> (B, O, H/s, W/s).

    What came in is taken at every s-th position, through a 1×1 convolution where channels differ.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer = (
            nn.MaxPool2d(1, stride)
            if inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.res_layer(x) + self.shortcut_layer(x)
        return added


class Ir50(nn.Module):
    """A 3×3 convolution and 24 units; the last map is averaged over its positions and classified by one layer.

    The published network reads its 512 numbers off a 7×7 map by a layer of 13 million weights, for images of 112×112;
    that layer is left out here, so that any size goes.
    (B, 3, H, W) -> features (B, 512), logits (B, C), maps (B, 512, H/16, W/16).
    """

    feature_dim = FEATURES

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        width = STAGES[0][0]
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width))
        widths = [width, *(channels for channels, units in STAGES for _ in range(units))]
        firsts = {sum(units for _, units in STAGES[:stage]) for stage in range(len(STAGES))}
        self.body = nn.Sequential(
            *(Unit(a, b, 2 if place in firsts else 1) for place, (a, b) in enumerate(pairwise(widths)))
        )
        self.head = nn.Linear(FEATURES, num_classes)
        for layer in (*self.stem.modules(), *self.body.modules()):
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight)

    def forward(self, images: Tensor) -> BranchOutput:
        maps = self.body(self.stem(images))
        features = maps.mean(dim=(2, 3))
        return BranchOutput(features, self.head(features), maps)

    @staticmethod
    def published_name(name: str) -> str | None:
        """Map a parameter's name in the files that circulate to the name here; None for what is not used."""
        if name.startswith("input_layer."):
            return name.replace("input_layer.", "stem.", 1)
        return name if name.startswith("body.") else None


@register_backbone(
    "ir50",
    title="IR-50",
    reference="Deng et al. 2019, CVPR (ArcFace: additive angular margin loss, with its improved residual units)",
)
def ir50(num_classes: int) -> nn.Module:
    """Return IR-50, for weights from a file."""
    return Ir50(num_classes)
