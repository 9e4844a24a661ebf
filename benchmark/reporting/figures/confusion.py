"""Confusion matrices: of the images of a class, how many are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from benchmark.ledger import Record
from benchmark.reporting.figures.source import Floats, Source
from benchmark.reporting.figures.style import CELL, INK, Chart, drawn, panel_height, panels, wrapped
from benchmark.reporting.wording import counted

LARGEST = 12
COLUMNS = 2
WHITE_ABOVE = 0.9


@dataclass(frozen=True, eq=False)
class Matrix:
    """(C, C) counts of test images, true class by predicted class, summed over runs."""

    title: str
    runs: int
    counts: NDArray[np.int64]

    @property
    def shares(self) -> Floats:
        """(C, C) shares of each true class; 0 for a class without images."""
        totals = self.counts.sum(axis=1, keepdims=True)
        return np.asarray(self.counts / np.maximum(totals, 1))


def matrices(source: Source) -> list[Matrix]:
    """Return a matrix for all networks alone, and one for each method of the main comparison."""
    return [_matrix(source, title, runs) for title, runs in source.kinds()]


def confusion_chart(source: Source) -> Chart:
    """Return the matrices, a panel each."""
    found = matrices(source)
    shown = found[:LARGEST]
    caption = (
        "Rows: true class; columns: predicted class. Large: percent of the true class; small: number of test images, "
        "summed over all pairs and seeds, so that every image counts once for each run."
    )
    if len(found) > LARGEST:
        caption += f" Left out for room: {', '.join(matrix.title for matrix in found[LARGEST:])}."
    columns = min(COLUMNS, len(shown))
    each = 0.75 + 0.36 * len(source.classes)

    def draw(figure: Figure) -> None:
        for axes, matrix in zip(panels(figure, len(shown), columns), shown, strict=True):
            draw_matrix(axes, matrix, source.classes)

    figure = drawn(draw, panel_height(len(shown), columns, each), source.about)
    return Chart(caption, _summary(shown, source.classes), figure)


def draw_matrix(axes: Axes, matrix: Matrix, classes: Sequence[str]) -> None:
    """Draw a cell for each pair of classes, darker for a larger share."""
    size = len(classes)
    for row, column in np.ndindex(size, size):
        share = matrix.shares[row, column]
        count = int(matrix.counts[row, column])
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=CELL, alpha=share, linewidth=0))
        colour = "white" if share >= WHITE_ABOVE else INK
        if count:
            axes.text(column, row - 0.12, f"{100 * share:.0f}", ha="center", va="center", fontsize=6.5, color=colour)
            axes.text(column, row + 0.3, f"{count}", ha="center", va="center", fontsize=4.5, color=colour)
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    axes.set_yticks(range(size), classes)
    axes.set_xticks(range(size), classes, rotation=40, ha="right", rotation_mode="anchor")
    axes.tick_params(length=0, labelbottom=True, labelsize=6.5)
    axes.spines[:].set_visible(False)
    axes.set_title(wrapped(f"{matrix.title} ({counted(matrix.runs, 'run')})", 44), fontsize=7.5)


def _matrix(source: Source, title: str, runs: Sequence[Record]) -> Matrix:
    labels = list(range(len(source.classes)))
    predicted = [source.predicted(record) for record in runs]
    counts = sum(confusion_matrix(p.label, p.top, labels=labels) for p in predicted)
    return Matrix(title, len(runs), np.asarray(counts))


def _summary(shown: Sequence[Matrix], classes: Sequence[str]) -> str:
    texts = []
    for matrix in shown:
        wrong = matrix.shares * (1 - np.eye(len(classes)))
        row, column = divmod(int(wrong.argmax()), len(classes))
        share = 100 * wrong[row, column]
        texts.append(f"{matrix.title}: {classes[row]} taken for {classes[column]} in {share:.0f} % of its images")
    return f"Most frequent confusion of each: {'; '.join(texts)}."
