"""Any torchvision classification network by its name: what enters its classifying layer are the features."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torchvision import models

from backbones._registry import Backbone, BranchOutput


class TorchvisionNetwork(nn.Module):
    """Read the features off the input of a torchvision network's classifying layer, whatever the family.

    It is the last linear layer; in a network without one, such as SqueezeNet, the last convolution, whose input the
    network then averages over positions itself.

    (B, 3, H, W) -> features (B, D), logits (B, C); maps are None, since families differ in what they keep.
    """

    def __init__(self, network: nn.Module, num_classes: int) -> None:
        super().__init__()
        name, last = _classifying_layer(network)
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, nn.Identity())
        self.feature_dim = last.in_features if isinstance(last, nn.Linear) else last.in_channels
        self.body = network
        self.head = nn.Linear(self.feature_dim, num_classes)
        self.replaced = name

    def forward(self, images: Tensor) -> BranchOutput:
        features = self.body(images)
        return BranchOutput(features, self.head(features), None)

    def published_name(self, name: str) -> str | None:
        """Map a parameter's name in torchvision's file to the name here; None for what is not used."""
        auxiliary = name.startswith(("aux1.", "aux2.", "AuxLogits."))
        return None if auxiliary or name.startswith(f"{self.replaced}.") else f"body.{name}"


def _classifying_layer(network: nn.Module) -> tuple[str, nn.Linear | nn.Conv2d]:
    layers = list(network.named_modules())
    linear = [(name, layer) for name, layer in layers if isinstance(layer, nn.Linear)]
    return linear[-1] if linear else [(name, layer) for name, layer in layers if isinstance(layer, nn.Conv2d)][-1]


def torchvision_network(name: str) -> Backbone | None:
    """Return a torchvision classification network as a backbone, None where torchvision has none of that name."""
    if name not in models.list_models(module=models):
        return None
    weights = models.get_model_weights(name)
    best = weights.DEFAULT if len(weights) else None
    return Backbone(
        name=name,
        title=name,
        reference=f"torchvision.models.{name}",
        build=partial(_build, name),
        pretrained=f"{weights.__name__}.{best.name}" if best else None,
    )


def _build(name: str, num_classes: int) -> TorchvisionNetwork:
    auxiliary = {"aux_logits": False, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return TorchvisionNetwork(models.get_model(name, weights=None, **auxiliary), num_classes)
