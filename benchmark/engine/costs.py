"""What runs cost on a device: seconds, memory and what they leave, by network and by head."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmark.engine.footprint import Footprint


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
