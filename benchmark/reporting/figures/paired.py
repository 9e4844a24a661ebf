"""Seed by seed: both methods of a comparison on the same seed, joined by a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.ledger import again
from benchmark.reporting.figures.source import Floats, LackingError, Source, accuracy, by_seed
from benchmark.reporting.figures.style import (
    BLUE,
    MUTED,
    PAPER,
    VERMILLION,
    Chart,
    drawn,
    panel_height,
    panels,
    wrapped,
)
from benchmark.reporting.wording import points

LARGEST = 12
FAMILIES = ("primary", "paper", "further", "readings")


@dataclass(frozen=True, eq=False)
class Pairing:
    """(S,) accuracies in percent of a method and of its baseline, mean over pairs of networks, by seed."""

    method: str
    baseline: str
    seeds: list[int]
    first: Floats
    second: Floats


def pairings(source: Source) -> list[Pairing]:
    """Return the comparisons of one method with another, those of the questions first."""
    rows = [row for family in FAMILIES for row in source.found.rows(family)]
    return [
        Pairing(
            source.title(row.method),
            source.title(row.baseline),
            sorted({record.seed for record in source.runs(row.method)}),
            *(accuracy_by_seed(source, side) for side in (row.method, row.baseline)),
        )
        for row in rows
    ]


def accuracy_by_seed(source: Source, method: str) -> Floats:
    """Return (S,) test accuracy in percent, mean over the groups of the main comparison."""
    runs = source.runs(method)
    return by_seed(runs, [accuracy(record) for record in runs])


def paired_chart(source: Source) -> Chart:
    """Return the dot plot, a panel for each comparison."""
    found = pairings(source)
    if not found:
        way = again(source.ledger.experiment, "--question METHOD --against NAME")
        raise LackingError(f"no method is compared with another; `{way}`")
    shown = found[:LARGEST]
    caption = (
        "Test accuracy of both methods on the same seed, mean over pairs of networks. Blue: the method is ahead on "
        "that seed; red and broken: its baseline is. Lines of one direction and length are what a paired test looks "
        "for."
    )
    if len(found) > LARGEST:
        caption += f" The first {LARGEST} of {len(found)} comparisons are shown."
    columns = min(2, len(shown))

    def draw(figure: Figure) -> None:
        for axes, pairing in zip(panels(figure, len(shown), columns, sharex=True), shown, strict=True):
            draw_pairing(axes, pairing)
        figure.supylabel("Seed", fontsize=8)

    height = panel_height(len(shown), columns, 0.5 + 0.16 * max(2, source.found.n_seeds))
    figure = drawn(draw, height, source.about)
    return Chart(caption, _summary(shown), figure)


def draw_pairing(axes: Axes, pairing: Pairing) -> None:
    """Draw one line a seed, the first at the top."""
    for height, (first, second) in enumerate(zip(pairing.first, pairing.second, strict=True)):
        ahead = first >= second
        colour = BLUE if ahead else VERMILLION
        axes.plot([second, first], [height] * 2, "-" if ahead else "--", color=colour, linewidth=1.6)
        axes.plot([second], [height], "o", color=MUTED, markerfacecolor=PAPER, markersize=5)
        axes.plot([first], [height], "o", color=colour, markersize=5)
    axes.set_yticks(range(len(pairing.seeds)), [str(seed) for seed in pairing.seeds])
    axes.set_ylim(len(pairing.seeds) - 0.5, -0.5)
    axes.set_title(f"{wrapped(f'● {pairing.method}', 44)}\n{wrapped(f'○ {pairing.baseline}', 44)}", fontsize=7.5)
    axes.grid(axis="x")
    if axes.xaxis.get_tick_params()["labelbottom"]:
        axes.set_xlabel("Test accuracy (%)")


def _summary(shown: Sequence[Pairing]) -> str:
    texts = [
        f"{pairing.method} is ahead of {pairing.baseline} on {int(np.sum(pairing.first > pairing.second))} of "
        f"{len(pairing.seeds)} seeds, by {points(float(np.mean(pairing.first - pairing.second)))} points on average"
        for pairing in shown
    ]
    return "; ".join(texts) + "."
