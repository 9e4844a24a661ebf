"""A small map's convolution as a matrix product: the same outputs and gradients, and only where it is meant to be."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import build_backbone
from benchmark.engine.experiment import Request, finished_runs
from benchmark.training.backbone import Logits, initial_backbone, trained_backbone
from benchmark.training.checkpoint import stage_of
from benchmark.training.fit import Outcome, fit
from benchmark.training.fusion import initial_end_to_end
from benchmark.training.images import image_task
from benchmark.training.small_maps import LARGEST_MAP, PatchProduct, SmallMapConv2d, multiply_small_maps

SHAPES = {  # kernel, stride, padding, size of the map that comes in
    "one position": (3, 1, 1, 1),
    "ResNet's downsampling": (3, 2, 1, 4),
    "four by four": (3, 1, 1, 4),
    "without padding": (3, 1, 0, 5),
    "wide kernel and steps": (5, 3, 2, 9),
    "not square": ((3, 1), (1, 2), (1, 0), 4),
}


def layer(*, bias: bool = True, **settings: object) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(6, 8, bias=bias, **settings).to(memory_format=torch.channels_last)  # type: ignore[arg-type]


def is_product(output: Tensor) -> bool:
    """Tell whether the product is among the functions that an output was made by."""
    functions = [output.grad_fn]
    while functions:
        function = functions.pop()
        if function is not None:
            if "PatchProduct" in type(function).__name__:
                return True
            functions += [following for following, _ in function.next_functions]
    return False


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=["channels last", "contiguous"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_outputs_and_gradients_are_the_convolutions(
    shape: tuple[int, int, int, int], bias: bool, layout: torch.memory_format
) -> None:
    kernel, stride, padding, size = shape
    plain = layer(kernel_size=kernel, stride=stride, padding=padding, bias=bias).to(memory_format=layout)
    product = multiply_small_maps(deepcopy(plain))
    found = []
    for convolution in (plain, product):
        torch.manual_seed(1)
        x = torch.randn(5, 6, size, size).contiguous(memory_format=layout).requires_grad_()
        output = convolution(x)
        (output * torch.randn_like(output.contiguous())).sum().backward()
        found.append([output, x.grad, *(parameter.grad for parameter in convolution.parameters())])
        assert is_product(output) == (convolution is product)
    for expected, value in zip(*found, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)


def test_gradients_agree_with_finite_differences() -> None:
    x = torch.randn(2, 4, 4, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: PatchProduct.apply(a, b, (1, 1)), (x, weight))


def test_images_need_no_gradient() -> None:
    convolution = multiply_small_maps(layer(kernel_size=3, padding=1))
    x = torch.randn(2, 6, 2, 2)
    convolution(x).sum().backward()
    assert x.grad is None
    assert next(convolution.parameters()).grad is not None


def test_frozen_weights_get_no_gradient() -> None:
    convolution = multiply_small_maps(layer(kernel_size=3, padding=1)).requires_grad_(False)
    x = torch.randn(2, 6, 2, 2, requires_grad=True)
    convolution(x).sum().backward()
    assert x.grad is not None
    assert next(convolution.parameters()).grad is None


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 1},
        {"kernel_size": 3, "groups": 2},
        {"kernel_size": 3, "dilation": 2},
        {"kernel_size": 3, "padding": "same"},
        {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
    ],
    ids=str,
)
def test_other_convolutions_stay_as_they_are(settings: dict[str, object]) -> None:
    assert type(multiply_small_maps(layer(**settings))) is nn.Conv2d


def test_a_larger_map_keeps_torchs_convolution() -> None:
    convolution = multiply_small_maps(layer(kernel_size=3, padding=1))
    side = int(LARGEST_MAP**0.5)
    assert is_product(convolution(torch.randn(2, 6, side, side)))
    assert not is_product(convolution(torch.randn(2, 6, side, side + 1)))


def test_evaluation_is_torchs_convolution_bit_by_bit() -> None:
    plain = layer(kernel_size=3, padding=1)
    x = torch.randn(7, 6, 4, 4).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        assert torch.equal(multiply_small_maps(deepcopy(plain))(x), plain(x))


def test_bfloat16_keeps_torchs_convolution() -> None:
    convolution = multiply_small_maps(layer(kernel_size=3, padding=1))
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_product(convolution(torch.randn(2, 6, 2, 2)))


def test_a_map_that_the_kernel_does_not_fit_on_is_told_as_torch_does() -> None:
    with pytest.raises(RuntimeError, match="Kernel size"):
        multiply_small_maps(layer(kernel_size=3))(torch.randn(2, 6, 2, 2))


@pytest.mark.parametrize("name", ["resnet18", "vgg11", "mobilenet_v3_small"])
def test_a_networks_parameters_keep_names_and_values(name: str) -> None:
    network = build_backbone(name, 7)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    after = multiply_small_maps(network).state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_networks_of_runs_learn_by_products(request_: Request) -> None:
    runs, workspace = finished_runs(request_)
    backbone = next(run for run in runs if run.kind == "backbone")
    joint = next(run for run in runs if run.stage == "joint")
    networks = [
        initial_backbone(backbone, workspace),
        trained_backbone(backbone.run_id, backbone.backbones[0], workspace),
        initial_end_to_end(joint, workspace),
    ]
    for network in networks:
        kernels = [weights for weights in network.parameters() if weights.dim() == 4 and weights.shape[2] > 1]
        assert all(weights.is_contiguous(memory_format=torch.channels_last) for weights in kernels)
        assert any(isinstance(module, SmallMapConv2d) for module in network.modules())


def test_an_epoch_is_the_same_but_for_rounding(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, workspace = finished_runs(request_)
    found = next(run for run in runs if run.kind == "backbone")
    run = replace(found, hyperparameters={**found.hyperparameters, "epochs": 1, "learning_rate": 1e-6})

    def learnt() -> Outcome:
        network = Logits(initial_backbone(run, workspace), "float32")
        return fit(network, image_task(run, workspace), stage_of(run))

    fast = learnt()
    monkeypatch.setattr(SmallMapConv2d, "_pays", lambda *_: False)
    plain = learnt()
    assert fast.history[0]["train_loss"] == pytest.approx(plain.history[0]["train_loss"], rel=1e-4)
    for name, value in plain.state.items():
        torch.testing.assert_close(fast.state[name], value, rtol=1e-3, atol=1e-5)


def test_one_step_moves_weights_alike() -> None:
    """Compare a step's gradients on a real network, every layer of it."""
    torch.manual_seed(0)
    plain = build_backbone("resnet18", 7).to(memory_format=torch.channels_last)
    fast = multiply_small_maps(deepcopy(plain))
    images, labels = torch.randn(7, 3, 32, 32), torch.randint(0, 7, (7,))
    for network in (plain, fast):
        F.cross_entropy(network(images).logits, labels).backward()
    for (name, expected), value in zip(plain.named_parameters(), fast.parameters(), strict=True):
        assert expected.grad is not None
        scale = float(expected.grad.abs().max())
        torch.testing.assert_close(value.grad, expected.grad, rtol=1e-3, atol=1e-3 * scale, msg=name)
