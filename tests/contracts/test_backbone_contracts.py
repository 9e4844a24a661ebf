"""Every registered backbone, and torchvision's networks by name, gives features, scores and maps as promised."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from backbones import BACKBONES, BranchOutput, build_backbone, split_replicate

CLASSES = 7
OTHERS = [
    "vgg11:head=classifier",
    "mobilenet_v3_small",
    "shufflenet_v2_x0_5",
    "densenet121",
    "squeezenet1_1",
    "regnet_y_400mf",
]


@pytest.fixture(params=[*BACKBONES.names(), *OTHERS], scope="module")
def backbone(request: pytest.FixtureRequest) -> tuple[str, nn.Module]:
    """A backbone's spec and its network with random weights; not to be changed but for its mode and gradients."""
    torch.manual_seed(0)
    return request.param, build_backbone(request.param, CLASSES)


def faces(images: int = 4, size: int = 64) -> Tensor:
    return torch.randn(images, 3, size, size, generator=torch.Generator().manual_seed(1))


def look(network: nn.Module, images: Tensor) -> BranchOutput:
    with torch.no_grad():
        output: BranchOutput = network.eval()(images)
    return output


def test_output_has_the_promised_shapes(backbone: tuple[str, nn.Module]) -> None:
    _, network = backbone
    features, logits, maps = look(network, faces())
    assert features.shape == (4, network.feature_dim)
    assert logits.shape == (4, CLASSES)
    assert maps is None or (maps.ndim == 4 and maps.shape[0] == 4)
    for tensor in (features, logits, maps):
        assert tensor is None or tensor.isfinite().all()


def test_logits_are_the_heads_of_the_features(backbone: tuple[str, nn.Module]) -> None:
    _, network = backbone
    features, logits, _ = look(network, faces())
    weight, bias = network.head.weight.double(), network.head.bias.double()
    torch.testing.assert_close(logits.double(), features.double() @ weight.T + bias, rtol=1e-4, atol=1e-5)


def test_an_image_does_not_depend_on_its_batch(backbone: tuple[str, nn.Module]) -> None:
    _, network = backbone
    images = faces()
    together = look(network, images)
    for index in range(len(images)):
        alone = look(network, images[index : index + 1])
        for name, a, b in zip(BranchOutput._fields, together, alone, strict=True):
            if a is not None and b is not None:
                assert float((a[index] - b[0]).abs().max() / a.abs().max()) < 1e-4, name


def test_every_parameter_learns(backbone: tuple[str, nn.Module]) -> None:
    """In evaluation mode: a batch normalisation in training cancels the shift of one that feeds it (ShuffleNet)."""
    _, network = backbone
    network.zero_grad()
    F.cross_entropy(network.eval()(faces()).logits, torch.arange(4)).backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    network.zero_grad()
    dead = [name for name, gradient in gradients.items() if gradient is None or not gradient.abs().max() > 0]
    assert not dead, f"no gradient for {', '.join(dead)}"


def test_training_mode_reaches_every_part(backbone: tuple[str, nn.Module]) -> None:
    _, network = backbone
    torch.manual_seed(2)
    with torch.no_grad():
        assert network.train()(faces()).logits.isfinite().all()
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize("backbone", BACKBONES.names(), indirect=True, scope="module")
@pytest.mark.parametrize("size", [32, 100])
def test_features_are_the_mean_of_the_map(backbone: tuple[str, nn.Module], size: int) -> None:
    """Where 32 (IR-50: 16) does not divide the size, VGG's pooling rounds its map down, ResNet's strides up."""
    name, network = backbone
    features, _, maps = look(network, faces(2, size))
    side = size // 32 if name.startswith("vgg") else -(-size // (16 if name == "ir50" else 32))
    assert maps is not None
    assert maps.shape == (2, network.feature_dim, side, side)
    by_hand = maps.double().flatten(2).sum(2) / (maps.shape[2] * maps.shape[3])
    torch.testing.assert_close(features.double(), by_hand, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backbone", ["vgg11:head=classifier"], indirect=True, scope="module")
def test_vgg_with_its_own_classifier(backbone: tuple[str, nn.Module]) -> None:
    _, network = backbone
    features, _, maps = look(network, faces())
    assert features.shape == (4, 4096)
    assert maps is not None
    assert maps.shape == (4, 512, 2, 2)
    pooled = F.adaptive_avg_pool2d(maps, 7).flatten(1)
    first, second = network.classifier[0], network.classifier[3]
    assert [layer.p for layer in network.classifier if isinstance(layer, nn.Dropout)] == [0.5, 0.5]
    by_hand = (second.weight @ (first.weight @ pooled.T + first.bias[:, None]).relu() + second.bias[:, None]).relu()
    torch.testing.assert_close(features, by_hand.T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "vgg11"])
def test_the_body_is_torchvisions(name: str) -> None:
    """With the same weights, torchvision's own network averages to the same features."""
    network = build_backbone(name, CLASSES).eval()
    theirs = models.resnet18() if name == "resnet18" else models.vgg11().features
    own = network.body.state_dict()
    theirs.load_state_dict(own, strict=False)
    images = faces(2)
    with torch.no_grad():
        if name == "resnet18":
            theirs.fc = nn.Identity()
            expected = theirs.eval()(images)
        else:
            expected = theirs.eval()(images).mean(dim=(2, 3))
    torch.testing.assert_close(look(network, images).features, expected, rtol=1e-5, atol=1e-6)


def test_replicates_are_split_from_their_number() -> None:
    assert split_replicate("resnet18#2") == ("resnet18", 2)
    assert split_replicate("vgg11:head=classifier") == ("vgg11:head=classifier", 1)
    for text in ("resnet18#0", "resnet18#two", "resnet18#-1"):
        with pytest.raises(ValueError, match="write a number after '#', as in resnet18#2"):
            split_replicate(text)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("resnet19", "no backbone named 'resnet19'; nearest: resnet18.*or any torchvision classification network"),
        ("vgg11:head=wide", "VGG has no head 'wide'; use head=pooled"),
        ("resnet18:head=classifier", "'resnet18' has no setting 'head=classifier'.*it has no settings"),
        ("fcn_resnet50", "no backbone named 'fcn_resnet50'"),
    ],
)
def test_what_cannot_be_built_is_refused(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_backbone(spec, CLASSES)
