"""The figure that stands for a whole report: the first question, and what the order of the test images does.

Drawn twice, for a wide and for a narrow screen. Every line is labelled where it stands, since a legend would have to be
read on a telephone too.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.analysis.facts import may_be_read
from benchmark.analysis.paper import read_paper
from benchmark.reporting.accuracy import data_name
from benchmark.reporting.figures.forest import MARKS, Block, Line, family_blocks, kind_of
from benchmark.reporting.figures.orders import LOOKS, Ordered, ordered
from benchmark.reporting.figures.source import LackingError, Source, spread
from benchmark.reporting.figures.style import INK, PAPER, RULE, Chart, drawn
from benchmark.reporting.figures.titles import SUMMARIES
from benchmark.reporting.readings import ORDERS
from benchmark.reporting.wording import counted, points

WIDE, NARROW = 7.4, 3.6  # inches
EACH = 0.19  # inches of a line
FRAME = 0.95  # inches of a panel's title and axis


@dataclass(frozen=True)
class Panel:
    """A part of the figure: the words above and below it, its height in inches, and what draws it."""

    title: str
    label: str
    height: float
    draw: Callable[[Axes], None]

    def draw_on(self, axes: Axes, letters: int) -> None:
        """Draw it, the words in lines of at most so many letters."""
        self.draw(axes)
        axes.set_title(self.title, fontsize=7)
        axes.set_xlabel(textwrap.fill(self.label, letters), fontsize=6.5, loc="left")


def summary_charts(source: Source) -> dict[str, Chart]:
    """Return the summary, wide and narrow, by name; empty where the ledger compares nothing."""
    blocks = [block for block in family_blocks(source) if block.lines][:1]
    if not blocks:
        return {}
    panels = [_differences(blocks[0], source)]
    shown = _readings(source)
    if shown:
        panels.append(_orders(shown))
    caption = f"{blocks[0].heading}: differences with their intervals, and accuracy by the order of the test images."
    wide, narrow = SUMMARIES
    return {
        wide: Chart(caption, caption, _side_by_side(panels, _about(source, 150))),
        narrow: Chart(caption, caption, _stacked(panels, _about(source, 74))),
    }


def draw_differences(axes: Axes, lines: Sequence[Line], margin: float) -> None:
    """Draw differences with intervals, each under its own words; the first at the top."""
    axes.axvspan(-margin, margin, color=RULE, alpha=0.5, linewidth=0)
    axes.axvline(0, color=INK, linewidth=0.8)
    for place, line in enumerate(lines):
        edge, marker, face = MARKS[kind_of(line.verdict)]
        height = -2 * place
        _words(axes, height + 0.85, f"{line.label}:", f"{points(line.difference)}, {line.verdict}")
        for ends, width in ((line.over_images, 0.9), (line.over_seeds, 2.8)):
            if ends:
                axes.plot(ends, [height, height], color=edge, linewidth=width, solid_capstyle="butt")
        axes.plot([line.difference], [height], marker, color=edge, markerfacecolor=face, markersize=6)
    _frame(axes, (-2 * len(lines) + 1.2, 1.6))


def draw_readings(axes: Axes, found: Sequence[Ordered]) -> None:
    """Draw each method's accuracy in every order, a line each, under the method's name."""
    height, ticks, labels = 0.0, [], []
    for method in found:
        _words(axes, height, method.title, "")
        for place, (label, (colour, marker)) in enumerate(zip(ORDERS.values(), LOOKS, strict=True)):
            height -= 1
            mean, sd = method.values[:, place].mean(), spread(method.values)[place]
            error = None if sd != sd else sd
            axes.errorbar([mean], [height], xerr=error, fmt=marker, color=colour, markersize=5, elinewidth=1.2)
            ticks.append(height)
            labels.append(f"{label.lower()} {mean:.1f}")
        height -= 1.3
    axes.set_yticks(ticks, labels)
    _frame(axes, (height + 0.6, 0.8))


def _words(axes: Axes, height: float, bold: str, text: str) -> None:
    """Write a line of words at the left edge of a panel."""
    axes.annotate(
        f"{bold} {text}".strip(),
        (0, height),
        xycoords=axes.get_yaxis_transform(),
        va="center",
        fontsize=7,
        color=INK,
        fontweight="normal" if text else "bold",
        annotation_clip=False,
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.8},
    )


def _frame(axes: Axes, heights: tuple[float, float]) -> None:
    axes.set_ylim(*heights)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")


def _short(block: Block, source: Source) -> list[Line]:
    """Return the lines of a block, a baseline that is called after the method by what is different about it."""
    method = source.title(source.found.questions[0].method)
    return [replace(line, label=line.label.removeprefix(f"{method} ")) for line in block.lines]


def _differences(block: Block, source: Source) -> Panel:
    margin = source.found.protocol.margin
    title = block.heading
    label = (
        f"Difference in test accuracy (points), mean over pairs. Intervals: thick over seeds, thin over "
        f"seeds and images; grey, within ±{margin:g}"
    )

    def draw(axes: Axes) -> None:
        draw_differences(axes, _short(block, source), margin)
        axes.set_yticks([])

    return Panel(title, label, FRAME + 2 * EACH * (len(block.lines) + 0.2), draw)


def _orders(found: Sequence[Ordered]) -> Panel:
    title = "The same models, test images in four orders"
    label = "Test accuracy (%), mean over pairs and seeds, ± standard deviation over seeds"
    return Panel(title, label, FRAME + EACH * (5.3 * len(found)), lambda axes: draw_readings(axes, found))


def _readings(source: Source) -> list[Ordered]:
    """Return the audited default reading, and one whose predictions depend on the batch where there is one."""
    try:
        found = {method.name: method for method in ordered(source)}
    except LackingError:
        return []
    dependent = [name for name in found if name in source.found.batch_dependent and may_be_read(name)]
    shown = [name for name in (read_paper().readings[0], *dependent[:1]) if name in found]
    return [found[name] for name in dict.fromkeys(shown)]


def _side_by_side(panels: Sequence[Panel], about: str) -> Figure:
    def draw(figure: Figure) -> None:
        places = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, panel in zip(places, panels, strict=True):
            panel.draw_on(axes, 62)

    return drawn(draw, 0.3 + max(panel.height for panel in panels), about, WIDE)


def _stacked(panels: Sequence[Panel], about: str) -> Figure:
    heights = [panel.height for panel in panels]

    def draw(figure: Figure) -> None:
        parts = figure.subfigures(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for part, panel in zip(parts, panels, strict=True):
            panel.draw_on(part.subplots(), 48)

    return drawn(draw, 0.6 + sum(heights), about, NARROW)


def _about(source: Source, width: int) -> str:
    """Return what the numbers are about, in lines of at most `width` letters."""
    settings = source.ledger.experiment["settings"]
    size = settings.get("data", {}).get("image_size")
    parts = [
        data_name(source.ledger),
        f"{size}×{size} pixels" if size else "",
        counted(source.found.n_seeds, "seed"),
    ]
    text = " · ".join(filter(None, [*parts, "epoch selected on validation", "not RAF-DB" * _is_other(source)]))
    return "\n".join(textwrap.wrap(text, width))


def _is_other(source: Source) -> bool:
    return not source.found.same_data_as_paper
