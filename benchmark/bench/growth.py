"""How the time of the fusion stage grows with seeds, pairs and images."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from benchmark.bench.cases import fast_fusion
from benchmark.bench.setup import Setup


@dataclass(frozen=True)
class Growth:
    """Seconds at several sizes. `slope`: of log seconds against log size, 1 where proportional; None for one size."""

    name: str
    sizes: list[int]
    seconds: list[float]
    slope: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the figure as JSON values."""
        return asdict(self)


def growths(setup: Setup) -> list[Growth]:
    """Time the fusion stage, features and heads, in this process, at up to three sizes of each axis."""
    groups, data = setup.settings.branch_groups(), setup.settings.data

    def seeds(size: int) -> Setup:
        return setup.with_settings(seeds=size, groups=groups[:1])

    def pairs(size: int) -> Setup:
        return setup.with_settings(seeds=1, groups=groups[:size])

    def images(size: int) -> Setup:
        drawn = data.synthetic.model_copy(
            update={"train": size * data.synthetic.train, "test": size * data.synthetic.test}
        )
        return setup.with_settings(seeds=1, groups=groups[:1], data=data.model_copy(update={"synthetic": drawn}))

    return [
        _growth("seeds", (1, 2, 4), seeds),
        _growth("pairs", [size for size in (1, 3, 6) if size <= len(groups)], pairs),
        _growth("images", (1, 2, 4), images),
    ]


def _growth(name: str, sizes: Sequence[int], at: Callable[[int], Setup]) -> Growth:
    seconds = []
    for size in sizes:
        setup = at(size)
        seconds.append(_seconds(replace(setup, folder=setup.folder / f"{name}-{size}")))
    slope = float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0]) if len(sizes) > 1 else None
    return Growth(name, list(sizes), seconds, slope)


def _seconds(setup: Setup) -> float:
    """Return the shorter of two times, which the machine's other work has disturbed less."""
    once = fast_fusion(setup, 0, 1)
    found = []
    for _ in range(2):
        started = time.perf_counter()
        once()
        found.append(time.perf_counter() - started)
    return min(found)
