"""Two small pictures of a run: the confusion matrix on test, and how its epochs went.

They are drawn by Pillow: one by matplotlib costs a tenth of a second, more than all else that MLflow is told of a run,
and MLflow's pages show no SVG.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont
from sklearn.metrics import confusion_matrix

from benchmark.ledger import Ledger, Record

CELL = (74, 34)  # pixels
MARGIN = (96, 78)  # left of the cells and above them
FULL = np.array(ImageColor.getrgb("#08519c"))  # the colour of a share of 1; 0 is white
COLOURS = {"train": "#999999", "validation": "#0072b2", "test": "#d55e00"}
LEFT, TOP, RIGHT, BOTTOM = 46, 60, 430, 300  # the plotting area of the curves
MOST_TICKS = 12


def confusion_picture(ledger: Ledger, record: Record, title: str) -> Image.Image:
    """Draw the share of each class's test images by the class that the selected epoch predicts."""
    frame = ledger.predictions(record.run_id)
    test = frame[frame["split"] == "test"]
    classes = ledger.experiment["dataset"]["classes"]
    predicted = test.filter(like="logit_").to_numpy().argmax(1)
    counts = confusion_matrix(test["label"], predicted, labels=range(len(classes)))
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    (width, height), (left, top) = CELL, MARGIN
    picture, draw = _sheet(left + width * len(classes) + 10, top + height * len(classes) + 10)
    _write_title(draw, title, "test images; rows are true classes and sum to 1, columns are predictions")
    for place, name in enumerate(classes):
        _write(draw, (left + width * (place + 0.5), top - 12), name, "mm")
        _write(draw, (left - 6, top + height * (place + 0.5)), name, "rm")
    for (row, column), share in np.ndenumerate(shares):
        x, y = left + width * column, top + height * row
        colour = tuple(int(v) for v in 255 + share * (FULL - 255))
        draw.rectangle((x, y, x + width - 1, y + height - 1), fill=colour, outline="#dddddd")
        if share > 0:
            shade = "white" if share > 0.5 else "black"
            _write(draw, (x + width / 2, y + height / 2), f"{share:.2f}", "mm", shade)
    return picture


def curve_picture(history: list[dict[str, float]], selected: int, title: str) -> Image.Image:
    """Draw accuracy by epoch on train, validation and test, and a line at the epoch that validation selected."""
    picture, draw = _sheet(540, 330)
    _write_title(draw, title, "accuracy (%) by epoch; the vertical line is the epoch that validation selected")
    epochs = [row["epoch"] for row in history]
    for percent in range(0, 101, 20):
        y = _height(percent / 100)
        draw.line((LEFT, y, RIGHT, y), fill="#dddddd")
        _write(draw, (LEFT - 6, y), str(percent), "rm")
    for epoch in epochs[:: -(-len(epochs) // MOST_TICKS)]:
        _write(draw, (_across(epoch, epochs), BOTTOM + 14), f"{epoch:.0f}", "mm")
    draw.line((_across(selected, epochs), TOP, _across(selected, epochs), BOTTOM), fill="#bbbbbb")
    for place, (part, colour) in enumerate(COLOURS.items()):
        name = f"{part}_accuracy"
        if name in history[0]:
            draw.line([(_across(row["epoch"], epochs), _height(row[name])) for row in history], fill=colour, width=2)
            _write(draw, (RIGHT + 12, TOP + 10 + 20 * place), part, "lm", colour)
    return picture


def _sheet(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new("RGB", (width, height), "white")
    return picture, ImageDraw.Draw(picture)


def _write_title(draw: ImageDraw.ImageDraw, title: str, about: str) -> None:
    _write(draw, (10, 16), title, "lm")
    _write(draw, (10, 36), about, "lm", "#666666")


def _write(
    draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, anchor: str, colour: str = "black"
) -> None:
    draw.text(place, text, fill=colour, anchor=anchor, font=_font())


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=13)  # unpacks a file of fonts


def _across(epoch: float, epochs: list[float]) -> float:
    """Return where an epoch lies from left to right; there are two of them at least."""
    return LEFT + (RIGHT - LEFT) * (epoch - epochs[0]) / (epochs[-1] - epochs[0])


def _height(share: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * share
