"""Accuracy by evaluation order: a prediction that depends on its neighbours changes with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from benchmark.analysis.facts import in_order
from benchmark.reporting.figures.source import Floats, LackingError, Source, spread
from benchmark.reporting.figures.style import BLUE, GREEN, INK, PURPLE, VERMILLION, Chart, drawn_alone
from benchmark.reporting.readings import ORDERS

LOOKS = ((VERMILLION, "s"), (PURPLE, "D"), (BLUE, "o"), (GREEN, "^"))


@dataclass(frozen=True, eq=False)
class Ordered:
    """A method's accuracies in percent, (S, 4) by seed and by `ORDERS`, mean over pairs."""

    name: str
    title: str
    values: Floats


def ordered(source: Source) -> list[Ordered]:
    """Return what the audit found of each method on the groups of the main comparison.

    Raises:
        LackingError: there was no audit.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in source.ledger.audit:
        if tuple(finding["backbones"]) in source.groups:
            found.setdefault(finding["method"], []).append(finding)
    if not found:
        raise LackingError(f"nothing was audited; `ferfuse audit --experiment {source.ledger.name}` brings it")
    return [_ordered(source, method, found[method]) for method in in_order(found, source.methods)]


def orders_chart(source: Source) -> Chart:
    """Return the dot plot, a line for each method."""
    found = ordered(source)
    caption = (
        "Test accuracy of the same trained models when the test images come in file order, sorted by class, shuffled "
        "(mean of 5 orders), and one at a time: mean over pairs and seeds; bars, ± sample standard deviation over "
        "seeds of the mean over pairs. Where predictions do not depend on the batch, the four markers stand below one "
        "another; † marks a method whose predictions do."
    )
    size = (1.2 + 0.38 * len(found), 4)
    figure = drawn_alone(lambda axes: draw_orders(axes, found), size, source.about)
    return Chart(caption, _summary(found), figure)


def draw_orders(axes: Axes, found: Sequence[Ordered]) -> None:
    """Draw the four orders of each method under one another, the first method at the top."""
    heights = np.arange(len(found))
    for place, (label, (colour, marker)) in enumerate(zip(ORDERS.values(), LOOKS, strict=True)):
        axes.errorbar(
            [method.values[:, place].mean() for method in found],
            heights + 0.18 * (place - 1.5),
            xerr=np.nan_to_num([spread(method.values)[place] for method in found]),
            fmt=marker,
            color=colour,
            markersize=4,
            elinewidth=0.9,
            label=label,
        )
    axes.set_yticks(heights, [method.title for method in found])
    for edge in heights[1:]:
        axes.axhline(edge - 0.5, color=INK, linewidth=0.3, alpha=0.3)
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("Test accuracy (%)")
    axes.grid(axis="x")


def _ordered(source: Source, method: str, findings: Sequence[dict[str, Any]]) -> Ordered:
    seeds: dict[int, list[list[float]]] = {}
    for finding in findings:
        seeds.setdefault(finding["seed"], []).append([100 * finding["accuracy"][order] for order in ORDERS])
    values = np.array([np.mean(seeds[seed], axis=0) for seed in sorted(seeds)])
    return Ordered(method, source.title(method), values)


def _summary(found: Sequence[Ordered]) -> str:
    texts = []
    for method in found:
        means = method.values.mean(axis=0)
        texts.append(f"{method.title} {means[0]:.2f} % in file order, {means[2]:.2f} % shuffled")
    return "; ".join(texts) + "."
