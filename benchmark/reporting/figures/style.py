"""How every figure looks: Okabe and Ito's colours, and a marker beside each, so that print in grey can be read.

Ink, rules and paper have digits that no other colour has: a page puts its own colours in their place.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import Any

from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

INK, MUTED, RULE, PAPER = "#1b1b1f", "#5b5c64", "#d3d4da", "#fffffe"
BLUE, VERMILLION, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
ORANGE, SKY = "#e69f00", "#56b4e9"
CELL = "#0072b1"  # stays as it is on a dark page, where white stands on it
DARK = {
    INK: "#e7e7ea",
    MUTED: "#a8aab4",
    RULE: "#3b3d46",
    PAPER: "#15161a",
    BLUE: "#4fa8e0",
    VERMILLION: "#f2854a",
    GREEN: "#35c398",
    PURPLE: "#dd9fc3",
    ORANGE: "#f1b640",
    SKY: "#86cbf3",
}
COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, MUTED)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
WIDTH = 7.0  # inches, two columns of print

SETTINGS: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "figure.facecolor": "none",
    "lines.linewidth": 1.2,
    "hatch.linewidth": 0.6,
    "pdf.fonttype": 42,
    "svg.hashsalt": "ferfuse",
}


@dataclass(frozen=True)
class Mark:
    """The colour and the marker of one method in every panel of a figure."""

    colour: str
    marker: str


@dataclass(frozen=True, eq=False)
class Chart:
    """A figure with what has to be said about it.

    Attributes:
        caption: what is shown, and what bars and bands mean.
        summary: the most important of its numbers in words, for who does not see it.
    """

    caption: str
    summary: str
    figure: Figure


def marks(names: Sequence[str]) -> dict[str, Mark]:
    """Give every name a colour and a marker; seventy names differ in one or both."""
    return {name: Mark(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(names)}


@contextmanager
def settings(changed: Any) -> Iterator[None]:
    """Draw by matplotlib's own defaults and these, whatever a user's file or another figure has set."""
    with rc_context():
        rcdefaults()
        rcParams.update(changed)
        yield


def drawn(draw: Callable[[Figure], None], height: float, about: str, width: float = WIDTH) -> Figure:
    """Draw on a new figure, `height` in inches, with what is said about data and seeds below."""
    with settings(SETTINGS):
        figure = Figure(figsize=(width, height))
        draw(figure)
        figure.supxlabel(about, x=0.005, ha="left", fontsize=6.5, color=MUTED)
        ConstrainedLayoutEngine().execute(figure)  # once, whatever it is saved as
    return figure


def drawn_alone(draw: Callable[[Axes], None], size: tuple[float, int], about: str) -> Figure:
    """Draw one panel of a height in inches with its legend above it, in so many columns: `size` is both."""
    height, columns = size

    def draw_with_legend(figure: Figure) -> None:
        axes = figure.subplots()
        draw(axes)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=columns)

    return drawn(draw_with_legend, height, about)


def panels(figure: Figure, count: int, columns: int, **shared: Any) -> list[Axes]:
    """Return `count` panels in a grid; places that are left over stay empty."""
    grid = figure.subplots(ceil(count / columns), columns, squeeze=False, **shared).ravel().tolist()
    for axes in grid[count:]:
        axes.remove()
    for place, axes in enumerate(grid[:count]):
        axes.tick_params(labelbottom=place + columns >= count)
    return list(grid[:count])


def wrapped(title: str, width: int) -> str:
    """Break a panel's title at blanks into lines of at most `width` letters."""
    return "\n".join(textwrap.wrap(title, width, break_long_words=False))


def panel_height(count: int, columns: int, each: float) -> float:
    """Return the height of a grid of panels, each of a height in inches, with room for labels and the line below."""
    return ceil(count / columns) * each + 0.7
