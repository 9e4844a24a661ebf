"""Two small pictures of a run: the confusion matrix on test, and how its epochs went.

They are SVG from a template: one by matplotlib costs a tenth of a second, more than all else that MLflow is told.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from sklearn.metrics import confusion_matrix

from benchmark.ledger import Ledger, Record

TEMPLATES = Path(__file__).parent / "templates"
COLOURS = {"train": "#999999", "validation": "#0072b2", "test": "#d55e00"}
LEFT, RIGHT, BOTTOM, TOP = 50.0, 425.0, 290.0, 50.0  # the plotting area of learning_curve.svg
MOST_TICKS = 12


def confusion_svg(ledger: Ledger, record: Record, title: str) -> str:
    """Draw the share of each class's test images by the class that the selected epoch predicts."""
    frame = ledger.predictions(record.run_id)
    test = frame[frame["split"] == "test"]
    classes = ledger.experiment["dataset"]["classes"]
    predicted = test.filter(like="logit_").to_numpy().argmax(1)
    counts = confusion_matrix(test["label"], predicted, labels=range(len(classes)))
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    return _template("confusion_matrix.svg").render(title=title, classes=classes, shares=shares.tolist())


def curve_svg(history: list[dict[str, float]], selected: int, title: str) -> str:
    """Draw accuracy by epoch on train, validation and test, with the epoch that validation selected."""
    epochs = [row["epoch"] for row in history]
    curves = [
        {
            "name": part,
            "colour": colour,
            "points": " ".join(
                f"{_across(row['epoch'], epochs):.1f},{BOTTOM - (BOTTOM - TOP) * row[f'{part}_accuracy']:.1f}"
                for row in history
            ),
        }
        for part, colour in COLOURS.items()
        if f"{part}_accuracy" in history[0]
    ]
    every = -(-len(epochs) // MOST_TICKS)
    ticks = [(round(_across(epoch, epochs), 1), int(epoch)) for epoch in epochs[::every]]
    return _template("learning_curve.svg").render(
        title=title, curves=curves, ticks=ticks, selected=round(_across(selected, epochs), 1)
    )


def _across(epoch: float, epochs: list[float]) -> float:
    """Return where an epoch lies from left to right; there are two of them at least."""
    return LEFT + (RIGHT - LEFT) * (epoch - epochs[0]) / (epochs[-1] - epochs[0])


@cache
def _template(name: str) -> Template:
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    return environment.get_template(name)
