"""Networks of timm: features that are timm's own, tokens where their patches are, one line where it cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from backbones import build_backbone, find_backbone
from backbones.weights import find_weights, load_weights

timm = pytest.importorskip("timm", reason="timm is not installed: pip install 'ferfuse[timm]'")
NETWORKS = {  # channels of the map at 48 pixels, None where features are of another width
    "vit_tiny_patch16_224": (192, 3, 3),
    "deit_tiny_distilled_patch16_224": (192, 3, 3),
    "swin_tiny_patch4_window7_224": (768, 2, 2),
    "efficientnet_lite0": (1280, 2, 2),
    "mobilenetv3_small_100": None,
    "convnext_atto": (320, 1, 1),
    "regnety_002": (368, 2, 2),
}


def built(name: str, num_classes: int = 7) -> nn.Module:
    torch.manual_seed(0)
    return build_backbone(f"timm/{name}", num_classes).eval()


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_features_are_those_that_timm_gives(name: str) -> None:
    network = built(name)
    images = torch.randn(2, 3, 48, 48)
    output = network(images)
    assert torch.equal(output.features, network.body(images))  # a network of timm without classes gives its features
    assert torch.equal(output.logits, network.head(output.features))
    assert output.logits.shape == (2, 7)
    shape = NETWORKS[name]
    assert (output.maps is None) == (shape is None)
    assert shape is None or output.maps.shape == (2, *shape)


@torch.no_grad()
def test_tokens_stand_where_their_patches_are() -> None:
    network = built("vit_tiny_patch16_224")
    images = torch.randn(1, 3, 32, 64)
    maps, tokens = network(images).maps, network.body.forward_features(images)
    assert maps.shape == (1, 192, 2, 4)
    for row in range(2):
        for column in range(4):
            assert torch.equal(maps[0, :, row, column], tokens[0, 1 + 4 * row + column])


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "efficientnet_lite0", "deit_tiny_distilled_patch16_224"])
@torch.no_grad()
def test_a_file_of_timm_fills_all_but_the_head(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    published = timm.create_model(name, num_classes=1000).eval()
    torch.save(published.state_dict(), tmp_path / "weights.pth")
    network = built(name)
    load_weights(network, tmp_path / "weights.pth")
    images = torch.randn(2, 3, 224, 224)
    expected = published.forward_head(published.forward_features(images), pre_logits=True)
    torch.testing.assert_close(network.eval()(images).features, expected, rtol=1e-4, atol=1e-4)


def test_source_and_licence_of_weights_are_told() -> None:
    told = find_backbone("timm/vit_tiny_patch16_224").reference
    assert "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k" in told
    assert told.endswith("licence apache-2.0")


@pytest.mark.parametrize(
    ("name", "words"),
    [("timm/vit_tiny_patch16_22", "nearest: vit_tiny_patch16_224"), ("timm/", "timm has no network ''")],
)
def test_an_unknown_name_has_its_nearest(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        find_backbone(name)


def test_without_timm_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r"pip install 'ferfuse\[timm\]'"):
        find_backbone("timm/resnet18")


def test_weights_that_cannot_be_downloaded_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*given: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", no_network)
    with pytest.raises(ValueError, match=r"cannot be downloaded here; give a file as weights=\{timm/resnet18: FILE\}"):
        find_weights("imagenet", find_backbone("timm/resnet18"))
