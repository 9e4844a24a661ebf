"""What runs cost on a device: seconds, memory and what they leave, by network and by head.

The memory of training is counted from what a network keeps for its gradients.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.multiprocessing.reductions import StorageWeakRef

from benchmark.training.backbone import branch_output

FEW = 2  # images that give an image's share
LEARNT = 4  # numbers kept for each weight: itself, its gradient and Adam's two moments


@dataclass(frozen=True)
class Footprint:
    """Bytes that a network takes.

    Attributes:
        weights: its weights with all that learns them.
        kept: for each image of a batch, what the forward pass leaves for the gradients.
        largest: for each image of a batch, the largest output of a layer.
    """

    weights: int
    kept: float
    largest: float


@dataclass(frozen=True)
class NetworkCost:
    """What a backbone costs.

    Attributes:
        training, evaluation: seconds for one image.
        footprint: memory.
        output, maps: bytes of an image's features and logits, and of its feature maps.
        scaled_from: the backbone whose rate was scaled; empty where it was measured.
    """

    training: float
    evaluation: float
    footprint: Footprint
    output: int
    maps: int
    scaled_from: str = ""


@dataclass(frozen=True)
class HeadCost:
    """What a fusion head on stored outputs costs.

    Attributes:
        training, evaluation: seconds for a batch, of its own share of the stack that it is trained in.
        outputs: bytes that the outputs of all branches take, of the whole stack.
        parameters: numbers that it keeps.
        maps: whether it reads feature maps.
        scaled_from: the method whose rate was scaled; empty where it was measured.
    """

    training: float
    evaluation: float
    outputs: int
    parameters: int = 0
    maps: bool = False
    scaled_from: str = ""


@dataclass(frozen=True)
class Costs:
    """What runs cost: networks by name, heads by method and backbones, and the bytes that a process holds before."""

    networks: dict[str, NetworkCost]
    heads: dict[tuple[str, tuple[str, ...]], HeadCost]
    base: int


def mean_of(costs: Sequence[Costs]) -> Costs:
    """Return the mean times of processes that measured the same things."""

    def mean(same: Sequence[Any]) -> Any:
        times = {name: statistics.fmean(getattr(one, name) for one in same) for name in ("training", "evaluation")}
        return replace(same[0], **times)

    return Costs(
        {name: mean([one.networks[name] for one in costs]) for name in costs[0].networks},
        {cell: mean([one.heads[cell] for one in costs]) for cell in costs[0].heads},
        max(one.base for one in costs),
    )


def footprint_of(network: nn.Module, size: int, precision: str) -> Footprint:
    """Count what a backbone takes for images of `size` pixels on its device; by fake tensors, so in no time there."""
    device = next(network.parameters()).device
    with FakeTensorMode(allow_non_fake_inputs=True):
        images = torch.empty(FEW, 3, size, size, device=device)
        labels = torch.zeros(FEW, dtype=torch.long, device=device)
        return measure(network, lambda: F.cross_entropy(branch_output(network, images, precision).logits, labels), FEW)


def measure(network: nn.Module, look: Callable[[], Tensor], batch: int) -> Footprint:
    """Count what a network takes from one forward pass in training mode, nothing being learnt.

    Args:
        look: runs the network on `batch` images.
    """
    weights = {
        StorageWeakRef(weight.untyped_storage()): weight.untyped_storage().nbytes() for weight in network.parameters()
    }
    kept: dict[StorageWeakRef, Tensor] = {}  # by storage: what two layers keep is there once

    def keep(tensor: Tensor) -> Tensor:
        place = StorageWeakRef(tensor.untyped_storage())
        if place not in weights and tensor.shape[:1] == (batch,):
            kept[place] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        look()
    sizes = [tensor.untyped_storage().nbytes() / batch for tensor in kept.values()]
    return Footprint(LEARNT * sum(weights.values()), sum(sizes), max(sizes, default=0.0))


def training_memory(networks: Iterable[Footprint], batch: int, evaluated: int) -> float:
    """Return the bytes of a run whose networks see the same images.

    A step holds what all networks keep, and on its way back two outputs of a layer: the gradient that comes in and the
    one that goes on. Evaluation keeps nothing, and holds a layer's input and output.

    Args:
        batch: images of a training step.
        evaluated: images that evaluation takes at once.
    """
    held = list(networks)
    largest = max(network.largest for network in held)
    weights = sum(network.weights for network in held)
    learning = batch * (sum(network.kept for network in held) + 2 * largest)
    return weights + max(learning, evaluated * 2 * largest)
