"""IR-50 has the published network's size and takes its files."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones import BACKBONES
from backbones.weights import load_weights


def published(network: torch.nn.Module) -> dict[str, Tensor]:
    """The tensors of a file as it circulates: the same layers under other names, and the layer of 512 numbers."""
    torch.manual_seed(1)
    own = {name: value for name, value in network.state_dict().items() if not name.startswith("head.")}
    drawn = {n: torch.rand_like(v) if v.is_floating_point() else v for n, v in own.items()}
    file = {name.replace("stem.", "input_layer.", 1): value for name, value in drawn.items()}
    beside = {"0.weight": (512,), "0.bias": (512,), "3.weight": (512, 25088), "3.bias": (512,), "4.weight": (512,)}
    return {**file, **{f"output_layer.{name}": torch.zeros(shape) for name, shape in beside.items()}}


def test_it_has_the_layers_of_the_published_network() -> None:
    """24 units of two 3×3 convolutions; a 1×1 one where channels change."""
    network = BACKBONES.find("ir50").build(7)
    assert len(network.body) == 24
    units = {64: (64, 3), 128: (64, 4), 256: (128, 14), 512: (256, 3)}  # channels: those of the stage before, units
    weights = 3 * 64 * 9 + 64 * 3  # convolution, normalisation, PReLU
    for channels, (before, count) in units.items():
        for unit in range(count):
            inputs = before if unit == 0 else channels
            weights += 2 * inputs + 9 * inputs * channels + channels + 9 * channels**2 + 2 * channels
            weights += inputs * channels + 2 * channels if inputs != channels else 0
    assert weights == sum(p.numel() for name, p in network.named_parameters() if not name.startswith("head."))


def test_a_published_file_fills_everything_but_the_head(tmp_path: Path) -> None:
    network = BACKBONES.find("ir50").build(7)
    file = published(network)
    torch.save(file, tmp_path / "backbone_ir50_ms1m.pth")
    head = network.head.weight.clone()
    load_weights(network, tmp_path / "backbone_ir50_ms1m.pth")
    found = network.state_dict()
    assert torch.equal(found["stem.0.weight"], file["input_layer.0.weight"])
    assert torch.equal(found["body.23.res_layer.4.running_var"], file["body.23.res_layer.4.running_var"])
    assert torch.equal(network.head.weight, head)


def test_a_unit_is_normalise_convolve_convolve_normalise_and_add() -> None:
    torch.manual_seed(0)
    unit = BACKBONES.find("ir50").build(7).body[3].eval()  # 64 to 128 channels, every second position
    for layer in unit.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.running_mean)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
    x, first, second = torch.randn(2, 64, 6, 6), unit.res_layer[1], unit.res_layer[3]

    def norm(y: Tensor, layer: torch.nn.Module) -> Tensor:
        mean, var = layer.running_mean[:, None, None], layer.running_var[:, None, None]
        return (y - mean) / (var + layer.eps).sqrt() * layer.weight[:, None, None] + layer.bias[:, None, None]

    inner = F.conv2d(norm(x, unit.res_layer[0]), first.weight, padding=1)
    inner = torch.where(inner > 0, inner, 0.25 * inner)  # PReLU as it starts
    inner = norm(F.conv2d(inner, second.weight, stride=2, padding=1), unit.res_layer[4])
    straight = norm(F.conv2d(x[:, :, ::2, ::2], unit.shortcut_layer[0].weight), unit.shortcut_layer[1])
    torch.testing.assert_close(unit(x), inner + straight, rtol=1e-4, atol=1e-5)
    assert unit(x).shape == (2, 128, 3, 3)
