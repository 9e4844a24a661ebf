"""Calibration: is a model right in as many cases as it is sure?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.analysis.facts import SELECTION
from benchmark.ledger import Record
from benchmark.reporting.figures.source import Floats, Source, by_seed
from benchmark.reporting.figures.style import BLUE, INK, MUTED, Chart, drawn, panel_height, panels, wrapped
from benchmark.statistics.metrics import ECE_BINS

COLUMNS = 4


@dataclass(frozen=True, eq=False)
class Reliability:
    """Of all runs of a method together, by bin of the top probability; ECE in percent by seed.

    Attributes:
        counts: (B,) predictions.
        confidence, accuracy: (B,) means in percent, NaN where a bin is empty.
        ece: (S,) mean over pairs of the runs' own calibration errors.
    """

    title: str
    counts: Floats
    confidence: Floats
    accuracy: Floats
    ece: Floats


def reliabilities(source: Source) -> list[Reliability]:
    """Return the reliability of all networks alone, and of each method of the main comparison."""
    return [_reliability(source, title, runs) for title, runs in source.kinds()]


def calibration_chart(source: Source) -> Chart:
    """Return the reliability diagrams, a panel each."""
    found = reliabilities(source)
    caption = (
        f"Accuracy against the probability of the predicted class, in {ECE_BINS} bins of equal width, all pairs and "
        "seeds together; bars: share of predictions in each bin. Below the diagonal a model is surer than it is "
        "right. ECE: expected calibration error, mean ± sample standard deviation over seeds."
    )
    columns = min(COLUMNS, len(found))

    def draw(figure: Figure) -> None:
        grid = panels(figure, len(found), columns, sharex=True, sharey=True)
        for axes, reliability in zip(grid, found, strict=True):
            draw_reliability(axes, reliability)
        figure.supylabel("Accuracy (%)", fontsize=8)

    figure = drawn(draw, panel_height(len(found), columns, 1.75), source.about)
    return Chart(caption, _summary(found), figure)


def draw_reliability(axes: Axes, reliability: Reliability) -> None:
    """Draw accuracy by confidence, the diagonal, and how many predictions stand behind each bin."""
    width = 100 / ECE_BINS
    shares = 100 * reliability.counts / reliability.counts.sum()
    axes.bar(width * (np.arange(ECE_BINS) + 0.5), shares, width=0.8 * width, color=MUTED, alpha=0.3)
    axes.plot([0, 100], [0, 100], "--", color=INK, linewidth=0.7)
    known = reliability.counts > 0
    axes.plot(
        reliability.confidence[known],
        reliability.accuracy[known],
        "o-",
        color=BLUE,
        markersize=3,
        linewidth=1,
        clip_on=False,
    )
    axes.set_title(f"{wrapped(reliability.title, 26)}\nECE {ece_text(reliability)}", fontsize=7)
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    axes.set_xticks([0, 50, 100])
    axes.set_yticks([0, 50, 100])
    axes.grid()
    if axes.xaxis.get_tick_params()["labelbottom"]:
        axes.set_xlabel("Probability (%)", fontsize=7)


def ece_text(reliability: Reliability) -> str:
    """Write the calibration error with its spread over seeds."""
    ece = reliability.ece
    return f"{ece.mean():.1f}" + (f" ± {ece.std(ddof=1):.1f}" if len(ece) > 1 else "") + " %"


def _reliability(source: Source, title: str, runs: Sequence[Record]) -> Reliability:
    predicted = [source.predicted(record) for record in runs]
    confidence = np.concatenate([p.confidence for p in predicted])
    right = np.concatenate([p.right for p in predicted])
    place = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    counts = np.bincount(place, minlength=ECE_BINS).astype(np.float64)
    held = np.where(counts > 0, counts, np.nan)
    return Reliability(
        title,
        counts,
        100 * np.bincount(place, weights=confidence, minlength=ECE_BINS) / held,
        100 * np.bincount(place, weights=right, minlength=ECE_BINS) / held,
        by_seed(runs, [100 * record.metrics[SELECTION]["ece"] for record in runs]),
    )


def _summary(found: Sequence[Reliability]) -> str:
    return f"Expected calibration error: {'; '.join(f'{r.title} {ece_text(r)}' for r in found)}."
