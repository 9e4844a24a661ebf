"""Networks without memory: their shapes and what they cost before anything is trained; networks of given weights."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from backbones import BranchOutput, build_backbone

USUAL_SIZE = 224  # pixels; what torchvision's networks that take one size alone are made for


class WeightsOnMeta(TorchFunctionMode):
    """Put what layers make their weights with, `torch.empty`, on the meta device, and leave all else where it is.

    A network may compute its own layout with tensors while it is built, as RegNet does with its widths; under
    `torch.device("meta")` such a layout would have no values.
    """

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        named = dict(named or {})
        if function is torch.empty and named.get("device") is None:
            named["device"] = "meta"
        return function(*arguments, **named)


def build_without_memory(text: str, num_classes: int) -> nn.Module:
    """Build the network of a spec on the meta device, in evaluation mode; a wrong spec is a `ValueError`."""
    with WeightsOnMeta():
        network = build_backbone(text, num_classes)
    return network.to("meta").eval()


def build_with_weights(text: str, num_classes: int, state: Mapping[str, Tensor]) -> nn.Module:
    """Build the network of a spec with a copy of these weights; no random weights are drawn first.

    Drawing them can take longer than a step of training: VGG's own classifier has 119 million. A network that has
    tensors besides its weights, which no file holds, is built in the usual way.
    """
    network = build_without_memory(text, num_classes).train()
    network.load_state_dict({name: value.clone() for name, value in state.items()}, assign=True)
    if any(tensor.is_meta for tensor in chain(network.parameters(), network.buffers())):
        network = build_backbone(text, num_classes)
        network.load_state_dict(state)
    return network


def look_at_image(network: nn.Module, text: str, size: int) -> tuple[BranchOutput, int]:
    """Return what a network without memory says of one image, in shapes alone, and the multiply-adds it takes.

    Raises:
        ValueError: it cannot take images of so many pixels; the message calls it `text` and says what to do.
    """
    output = _look(network, size)
    if output is not None:
        return output
    remedy = "choose another network"
    if _look(network, USUAL_SIZE) is not None:
        remedy = f"{'lower' if size > USUAL_SIZE else 'raise'} data.image_size, for example to {USUAL_SIZE}"
    raise ValueError(f"{text} cannot take images of {size} pixels; {remedy}")


def _look(network: nn.Module, size: int) -> tuple[BranchOutput, int] | None:
    try:
        return multiply_adds(network, torch.empty(1, 3, size, size, device="meta"))
    except (RuntimeError, AssertionError):  # what torchvision's networks raise where a size does not fit
        return None


def multiply_adds(network: nn.Module, inputs: Any) -> tuple[Any, int]:
    """Return a network's output and its multiply-adds."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        output = network(inputs)
    return output, counter.get_total_flops() // 2
