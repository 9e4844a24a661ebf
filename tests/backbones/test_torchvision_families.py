"""Every family of torchvision's classification networks: planned at 64 pixels, or refused with one line."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from backbones import BACKBONES, BranchOutput, build_backbone, find_backbone, register_backbone
from backbones.shapes import build_with_weights, build_without_memory, look_at_image
from benchmark.config import UserError, load_config
from benchmark.plan import make_plan

# family: its smallest network and the width of its features, or the size that it has to be given
FAMILIES: dict[str, tuple[str, int | str]] = {
    "alexnet": ("alexnet", 4096),
    "convnext": ("convnext_tiny", 768),
    "densenet": ("densenet121", 1024),
    "efficientnet": ("efficientnet_b0", 1280),
    "googlenet": ("googlenet", 1024),
    "inception": ("inception_v3", "raise data.image_size, for example to 224"),
    "maxvit": ("maxvit_t", "raise data.image_size, for example to 224"),
    "mnasnet": ("mnasnet0_5", 1280),
    "mobilenetv2": ("mobilenet_v2", 1280),
    "mobilenetv3": ("mobilenet_v3_small", 1024),
    "regnet": ("regnet_y_400mf", 440),
    "resnet": ("resnet50", 2048),
    "shufflenetv2": ("shufflenet_v2_x0_5", 1024),
    "squeezenet": ("squeezenet1_1", 512),
    "swin_transformer": ("swin_t", 768),
    "vgg": ("vgg11_bn", 4096),
    "vision_transformer": ("vit_b_32", "raise data.image_size, for example to 224"),
}


def plan_of(name: str, size: int) -> list[object]:
    settings = load_config("demo", {"backbones": [name], "methods": [], "data.image_size": size, "seeds": 1})
    return list(make_plan(settings, "0" * 32, 7, 100))


def test_no_family_is_forgotten() -> None:
    names = models.list_models(module=models)
    assert {models.get_model_builder(name).__module__.rpartition(".")[2] for name in names} == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_planned_or_refused_in_one_line(family: str) -> None:
    name, expected = FAMILIES[family]
    if isinstance(expected, str):
        with pytest.raises(UserError) as caught:
            plan_of(name, 64)
        assert str(caught.value) == f"{name} cannot take images of 64 pixels; {expected}"
        assert len(plan_of(name, 224)) == 1
        return
    assert len(plan_of(name, 64)) == 1
    output, macs = look_at_image(build_without_memory(name, 7), name, 64)
    assert output.features.shape == (1, expected)
    assert output.logits.shape == (1, 7)
    assert macs > 0


def test_a_network_of_one_size_says_so_to_larger_images_too() -> None:
    with pytest.raises(UserError, match=r"^vit_b_32 cannot take images of 300 pixels; lower data.image_size"):
        plan_of("vit_b_32", 300)


@pytest.mark.parametrize("name", ["resnet18", "vgg13", "mobilenet_v3_small", "regnet_y_400mf", "squeezenet1_1"])
def test_a_network_without_memory_is_the_network(name: str) -> None:
    """The same weights by name and shape, none of them in memory; the same output by shape."""
    network, light = build_backbone(name, 7).eval(), build_without_memory(name, 7)
    weights, without = network.state_dict(), light.state_dict()
    assert {key: value.shape for key, value in weights.items()} == {key: value.shape for key, value in without.items()}
    assert all(value.is_meta for value in without.values())
    with torch.no_grad():
        output = network(torch.zeros(1, 3, 64, 64))
    assert output.features.shape == look_at_image(light, name, 64)[0].features.shape


@pytest.mark.parametrize("name", ["resnet18", "vgg13", "mobilenet_v3_small", "regnet_y_400mf", "swin_t"])
def test_a_network_built_with_weights_scores_as_the_one_they_come_from(name: str) -> None:
    network = build_backbone(name, 7)
    image = torch.rand(2, 3, 64, 64)
    rebuilt = build_with_weights(name, 7, network.state_dict())
    assert rebuilt.training
    assert all(parameter.requires_grad for parameter in rebuilt.parameters())
    with torch.no_grad():
        assert torch.equal(rebuilt.eval()(image).logits, network.eval()(image).logits)
        next(rebuilt.parameters()).zero_()
    assert next(network.parameters()).abs().sum() > 0, "the weights are shared"


def test_a_network_with_a_tensor_that_no_file_holds_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Scaled(nn.Module):
        feature_dim = 3

        def __init__(self, num_classes: int) -> None:
            super().__init__()
            self.head = nn.Linear(3, num_classes)
            self.register_buffer("scale", torch.empty(3).fill_(2.0), persistent=False)

        def forward(self, images: Tensor) -> BranchOutput:
            features = images.mean(dim=(2, 3)) * self.scale
            return BranchOutput(features, self.head(features), None)

    def scaled(num_classes: int) -> nn.Module:
        """Build it."""
        return Scaled(num_classes)

    monkeypatch.setattr(BACKBONES, "_entries", {name: find_backbone(name) for name in BACKBONES.names()})
    register_backbone("scaled", title="Scaled", reference="nobody")(scaled)
    network = build_backbone("scaled", 4)
    rebuilt = build_with_weights("scaled", 4, network.state_dict())
    image = torch.rand(2, 3, 8, 8)
    assert torch.equal(rebuilt(image).logits, network(image).logits)
