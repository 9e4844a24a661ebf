"""Learning curves: accuracy on training and validation images by epoch, with the spread over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmark.ledger import Record
from benchmark.reporting.figures.source import Floats, LackingError, Source, by_seed, spread
from benchmark.reporting.figures.style import BLUE, ORANGE, Chart, drawn, panel_height, panels, wrapped

PARTS = {"validation_accuracy": ("Validation", BLUE, "-"), "train_accuracy": ("Training", ORANGE, "--")}
COLUMNS = 4


@dataclass(frozen=True, eq=False)
class Curve:
    """(E,) epochs, and by part (S, E) accuracies in percent, mean over groups."""

    title: str
    epochs: Floats
    parts: dict[str, Floats]


def curves(source: Source) -> list[Curve]:
    """Return a curve for every network and every method of the main comparison that has epochs.

    Raises:
        LackingError: the ledger holds no histories.
    """
    if not any(source.ledger.history(record.run_id) for record in source.ledger.records):
        raise LackingError(
            "this packed ledger holds no histories; `ferfuse report --ledger FOLDER` of the one that it was made from "
            "draws them"
        )
    listed = source.ledger.experiment["main"]["backbones"]
    alone = [(source.group_title([name]), source.alone(name)) for name in listed]
    fused = [(source.title(method), source.runs(method)) for method in source.methods]
    return [curve for title, runs in [*alone, *fused] if (curve := _curve(source, title, runs)) is not None]


def learning_chart(source: Source) -> Chart:
    """Return the curves, a panel each."""
    found = curves(source)
    if not found:
        raise LackingError(
            "no run has two epochs or more; `ferfuse reproduce --experiment NAME --set backbone_stage.epochs=2`, "
            "with a new name, brings them"
        )
    caption = (
        "Accuracy by epoch: line, mean over seeds (of the mean over pairs for a method); band, ± sample standard "
        "deviation over seeds. The training images are augmented and seen while learning. The test images play no "
        "part. A method that learns nothing has no curve."
    )
    columns = min(COLUMNS, len(found))

    def draw(figure: Figure) -> None:
        grid = panels(figure, len(found), columns, sharey=True)
        for axes, curve in zip(grid, found, strict=True):
            draw_curve(axes, curve)
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=2)
        figure.supylabel("Accuracy (%)", fontsize=8)

    figure = drawn(draw, panel_height(len(found), columns, 1.5), source.about)
    return Chart(caption, _summary(found), figure)


def draw_curve(axes: Axes, curve: Curve) -> None:
    """Draw mean and band of each part."""
    for part, (label, colour, line) in PARTS.items():
        values = curve.parts[part]
        mean, sd = values.mean(axis=0), spread(values)
        axes.plot(curve.epochs, mean, line, color=colour, label=label)
        axes.fill_between(curve.epochs, mean - sd, mean + sd, color=colour, alpha=0.2, linewidth=0)
    axes.set_title(wrapped(curve.title, 28), fontsize=7)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.tick_params(labelbottom=True)
    axes.set_xlabel("Epoch", fontsize=7)
    axes.grid()


def _curve(source: Source, title: str, runs: Sequence[Record]) -> Curve | None:
    histories = [source.ledger.history(record.run_id) for record in runs]
    if not histories or any(len(rows) < 2 or not PARTS.keys() <= rows[0].keys() for rows in histories):
        return None
    epochs = np.array([float(row["epoch"]) for row in histories[0]])
    parts = {part: by_seed(runs, [[100 * float(row[part]) for row in rows] for rows in histories]) for part in PARTS}
    return Curve(title, epochs, parts)


def _summary(found: Sequence[Curve]) -> str:
    texts = [f"{c.title} {c.parts['validation_accuracy'][:, -1].mean():.1f} %" for c in found]
    return f"Validation accuracy at the last epoch: {'; '.join(texts)}."
