"""The hours of a whole protocol on RAF-DB, from measured rates: what was not measured is scaled, and said to be."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from benchmark.config import Settings
from fusion_methods import resolve_fusion

TRAIN, TEST = 12271, 3068  # images of RAF-DB's basic part


@dataclass(frozen=True)
class Hours:
    """What a protocol takes on one device that so many runs share; `scaled` are the pairs that were not measured."""

    side_by_side: int
    backbones: float
    joint: float
    heads: float
    scaled: tuple[str, ...]

    @property
    def total(self) -> float:
        """All three stages, one after the other."""
        return self.backbones + self.joint + self.heads


def rates(cell: dict[str, Any], count: int, name: str) -> list[float]:
    """Return images a second of all processes together, "training" or "evaluation", by turn; failures left out."""
    turns = cell["turns"].get(str(count), [])
    return [sum(place[name] for place in turn) for turn in turns if not any("error" in place for place in turn)]


def protocol_hours(settings: Settings, found: dict[str, Any], count: int, *, compiled: bool) -> Hours | None:
    """Extrapolate the protocol, its arms left out, from trainings by `count` processes at a time.

    A pair that was not measured takes its networks' times, times what the measured pairs took beyond theirs. Stored
    outputs, records and the ends of runs are left out. None where a network, every pair or the heads are missing.

    Args:
        compiled: take compiled steps where they were measured.
    """
    eager, better = (_epochs(settings, found, count, compiled=way) for way in (False, True))
    pairs = ["+".join(pair) for pair in combinations(settings.backbones, 2)]
    measured = [name for name in pairs if name in eager]
    if not measured or not found["heads"] or any(name not in eager for name in settings.backbones):
        return None
    beyond = statistics.fmean(eager[name] / _sum(eager, name) for name in measured)
    joint = {name: eager[name] for name in measured}
    if compiled:
        joint = {name: value for name, value in joint.items() if not any(part in better for part in name.split("+"))}
        joint |= {name: better[name] for name in pairs if name in better}
        eager |= better
    joint_epoch = sum(joint.get(name, beyond * _sum(eager, name)) for name in pairs)
    end_to_end = sum(resolve_fusion(method).end_to_end for method in settings.methods)
    in_hours = settings.seeds / 3600
    return Hours(
        count,
        in_hours * settings.backbone_stage.epochs * sum(eager[name] for name in settings.backbones),
        in_hours * settings.joint_stage.epochs * joint_epoch * end_to_end,
        in_hours * settings.fusion_stage.epochs * len(pairs) * _heads(settings, found["heads"]),
        tuple(name for name in pairs if name not in joint),
    )


def _sum(seconds: dict[str, float], pair: str) -> float:
    return sum(seconds[name] for name in pair.split("+"))


def _epochs(settings: Settings, found: dict[str, Any], count: int, *, compiled: bool) -> dict[str, float]:
    """Return the seconds of an epoch with its evaluation, at the rate of all processes together, by training."""
    validation = TRAIN * settings.data.validation_fraction
    seconds = {}
    for cell in (cell for cell in found["cells"] if cell["compiled"] is compiled):
        training, evaluation = rates(cell, count, "training"), rates(cell, count, "evaluation")
        if training:
            at_once = (TRAIN - validation) / statistics.median(training)
            seconds[cell["name"]] = at_once + (validation + TEST) / statistics.median(evaluation)
    return seconds


def _heads(settings: Settings, turns: Sequence[dict[str, Any]]) -> float:
    """Return the seconds that all methods' heads take for one epoch of one pair and seed, in stacks where they can."""
    images = TRAIN * (1 - settings.data.validation_fraction)
    by_method = [[turn[method].get("stacked", turn[method]["alone"]) for turn in turns] for method in turns[0]]
    return sum(images / statistics.median(values) for values in by_method)
