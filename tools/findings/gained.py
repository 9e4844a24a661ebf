"""What the order of the test images gains the readings that depend on their batch, over all committed ledgers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.reporting.figures.orders import LOOKS
from benchmark.reporting.figures.saving import save_summaries
from benchmark.reporting.figures.style import INK, MUTED, Chart, drawn, wrapped
from benchmark.reporting.figures.titles import summary_file
from benchmark.reporting.readings import ORDERS
from tools.findings.contrasts import Answer

NAME = "evaluation-order"
MARKS = {order: look for order, look in zip(ORDERS, LOOKS, strict=True) if order != "shuffled"}
Gains = dict[tuple[str, str], dict[str, Answer]]  # (reading, experiment) -> order -> that order minus shuffled


def write_gained(gains: Gains, claimed: float, folder: Path) -> list[Path]:
    """Write `folder/evaluation-order.svg`, on light and on dark, and return the paths.

    Args:
        claimed: the gain in points that the paper claims, drawn as a line.
    """
    readings = list(dict.fromkeys(reading for reading, _ in gains))
    experiments = sorted({experiment for _, experiment in gains})

    def draw(figure: Figure) -> None:
        places = figure.subplots(1, len(readings), sharex=True, sharey=True, squeeze=False)[0]
        for axes, reading in zip(places, readings, strict=True):
            _draw(axes, [gains.get((reading, experiment), {}) for experiment in experiments], claimed)
            axes.set_title(wrapped(reading, 48))
            axes.set_yticks(range(len(experiments)), experiments)
            axes.set_ylim(len(experiments) - 0.5, -0.5)
        handles, labels = places[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=len(labels))

    about = "Points above the same test images shuffled, mean over pairs; bars, simultaneous 95 % intervals over seeds"
    figure = drawn(draw, 1.4 + 0.45 * len(experiments), about)
    save_summaries({NAME: Chart(about, about, figure)}, folder)
    return [summary_file(folder, NAME, dark) for dark in (False, True)]


def _draw(axes: Axes, lines: Sequence[dict[str, Answer]], claimed: float) -> None:
    """Draw a line of markers for each experiment, the first at the top; nothing where it has no such reading."""
    axes.axvline(0, color=INK, linewidth=0.8)
    label = f"the paper's gain, about {claimed:g} points"
    axes.axvline(claimed, color=MUTED, linewidth=0.9, linestyle="--", label=label)
    for place, (order, (colour, marker)) in enumerate(MARKS.items()):
        there = [(height, line[order]) for height, line in enumerate(lines) if order in line]
        middles = np.array([row.difference for _, row in there])
        ends = np.array([row.seeds_interval for _, row in there], dtype=float).reshape(-1, 2)
        axes.errorbar(
            middles,
            [height + 0.22 * (place - 1) for height, _ in there],
            xerr=np.nan_to_num(np.abs(ends.T - middles)),
            fmt=marker,
            color=colour,
            markersize=4,
            elinewidth=0.9,
            label=ORDERS[order].lower(),
        )
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
