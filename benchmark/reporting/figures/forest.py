"""Forest plots: every difference with its two intervals and its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from benchmark.analysis.report import Compared
from benchmark.ledger import again
from benchmark.reporting.figures.source import LackingError, Source
from benchmark.reporting.figures.style import BLUE, GREEN, INK, MUTED, PAPER, RULE, VERMILLION, Chart, drawn, wrapped
from benchmark.reporting.wording import counted, points
from benchmark.statistics.verdicts import EQUAL, NOT_YET, OPEN

FAMILIES = {
    "best-single": "Fusion against the better network alone",
    "further": "Further methods against simple fusion",
    "readings": "Readings of the attention against the default",
}
ASKED = ("primary", "paper")
MARKS = {
    "better": (BLUE, "^", BLUE),
    "better, on this test set or by little": (BLUE, "^", PAPER),
    "practically equal": (GREEN, "s", GREEN),
    "open": (MUTED, "o", PAPER),
    "worse, on this test set or by little": (VERMILLION, "v", PAPER),
    "worse": (VERMILLION, "v", VERMILLION),
}


def kind_of(verdict: str) -> str:
    """Return which mark a verdict has."""
    word = (
        "open" if verdict in (OPEN, NOT_YET) else EQUAL if verdict.startswith(EQUAL) else verdict.split()[0].strip(",")
    )
    return word if verdict == word or word in ("open", EQUAL) else f"{word}, on this test set or by little"


Interval = tuple[float, ...]


@dataclass(frozen=True)
class Line:
    """One difference in percentage points; an interval that one seed does not give is empty."""

    label: str
    difference: float
    over_seeds: Interval
    over_images: Interval
    verdict: str


@dataclass(frozen=True)
class Block:
    """Differences under one heading."""

    heading: str
    lines: list[Line]


def family_blocks(source: Source) -> list[Block]:
    """Return the comparisons of the mean over pairs: method by method those of the questions, then family by family."""
    asked = source.found.rows(*ASKED)
    blocks = [
        Block(
            f"{source.title(method)} against its baselines",
            [_line(source, row, source.title(row.baseline)) for row in asked if row.method == method],
        )
        for method in dict.fromkeys(row.method for row in asked)
    ]
    for family, heading in FAMILIES.items():
        own = source.found.rows(family)
        if own:
            blocks.append(Block(heading, [_line(source, row, _label(source, row)) for row in own]))
    return blocks


def pair_blocks(source: Source) -> list[Block]:
    """Return the first question's comparisons pair by pair, baseline by baseline."""
    rows = source.found.rows("per-pair")
    return [
        Block(
            f"{source.title(rows[0].method)} against {source.title(baseline)}",
            [_line(source, row, source.group_title(row.pair or ())) for row in rows if row.baseline == baseline],
        )
        for baseline in dict.fromkeys(row.baseline for row in rows)
    ]


def forest_chart(source: Source) -> Chart:
    """Return the forest plot of the mean over pairs."""
    blocks = family_blocks(source)
    if not blocks:
        raise LackingError(
            f"there is nothing to compare; `{again(source.ledger.experiment, '--methods METHOD METHOD')}`"
        )
    caption = (
        "Difference in test accuracy, mean over pairs of networks, in percentage points. "
        f"{_reading(source)} The verdict stands at the right."
    )
    return Chart(caption, _summary(blocks), _figure(blocks, source))


def pair_forest_chart(source: Source) -> Chart:
    """Return the forest plot pair by pair."""
    blocks = pair_blocks(source)
    if not blocks:
        raise LackingError(
            "pair by pair takes the method of the first question, a baseline of it and two pairs of networks; "
            f"`{again(source.ledger.experiment, '--question METHOD --against NAME')}`"
        )
    caption = (
        "The first question's comparisons pair by pair: exploratory, under a correction of their own. "
        f"{_reading(source)} The verdict stands at the right."
    )
    return Chart(caption, _summary(blocks), _figure(blocks, source))


def draw_forest(axes: Axes, blocks: Sequence[Block], margin: float) -> None:
    """Draw every line at a height of its own, blocks apart, the first at the top."""
    axes.axvspan(-margin, margin, color=RULE, alpha=0.5, linewidth=0)
    axes.axvline(0, color=INK, linewidth=0.8)
    heights: list[float] = []
    labels: list[str] = []
    verdicts: list[str] = []
    headings: list[int] = []
    height = 0.0
    for block in blocks:
        headings.append(len(heights))
        heights.append(height)
        labels.append(block.heading)
        verdicts.append("")
        for line in block.lines:
            height -= 1
            _draw_line(axes, line, height)
            heights.append(height)
            labels.append(line.label)
            verdicts.append(f"{points(line.difference)}  {line.verdict}")
        height -= 1.6
    axes.set_ylim(height + 1, 0.8)
    axes.set_yticks(heights, labels)
    for place in headings:
        axes.get_yticklabels()[place].set_fontweight("bold")
    right = axes.secondary_yaxis("right")
    right.set_yticks(heights, verdicts)
    for side in (axes, right):
        side.tick_params(axis="y", length=0)
        side.spines[:].set_visible(False)
    axes.spines["bottom"].set_visible(True)
    axes.grid(axis="x")
    axes.set_xlabel("Difference (percentage points)")


def _draw_line(axes: Axes, line: Line, height: float) -> None:
    edge, marker, face = MARKS[kind_of(line.verdict)]
    for ends, width in ((line.over_images, 0.9), (line.over_seeds, 2.6)):
        if ends:
            axes.plot(ends, [height, height], color=edge, linewidth=width, solid_capstyle="butt")
    axes.plot([line.difference], [height], marker, color=edge, markerfacecolor=face, markersize=5.5)


def _figure(blocks: Sequence[Block], source: Source) -> Figure:
    margin = source.found.protocol.margin
    verdicts = [
        name for name in MARKS if any(kind_of(line.verdict) == name for block in blocks for line in block.lines)
    ]

    def draw(figure: Figure) -> None:
        draw_forest(figure.subplots(), blocks, margin)
        keys: list[Artist] = [
            Line2D([], [], color=edge, marker=marker, markerfacecolor=face, linestyle="", label=name, markersize=5.5)
            for name, (edge, marker, face) in MARKS.items()
            if name in verdicts
        ]
        keys.append(Line2D([], [], color=INK, linewidth=2.6, label="over seeds"))
        if not _drawn_parts(source):
            keys.append(Line2D([], [], color=INK, linewidth=0.9, label="over seeds and images"))
        keys += [
            Patch(color=RULE, alpha=0.5, label=f"within ±{margin:g} points"),
        ]
        figure.legend(handles=keys, loc="outside upper left", ncols=5, handlelength=1.6)

    rows = sum(len(block.lines) for block in blocks) + 1.6 * len(blocks)
    each = 0.27 if any("\n" in line.label for block in blocks for line in block.lines) else 0.2
    return drawn(draw, 1.2 + each * rows, source.about)


def _line(source: Source, row: Compared, label: str) -> Line:
    over_seeds, over_images = (
        () if None in ends else tuple(end for end in ends if end is not None)
        for ends in (row.seeds_interval, row.images_interval)
    )
    if _drawn_parts(source):
        over_images = ()
    return Line(label, row.difference, over_seeds, over_images, row.verdict)


def _label(source: Source, row: Compared) -> str:
    """Return what the heading does not say of a comparison."""
    method, baseline = source.title(row.method), source.title(row.baseline)
    return method if row.family == "best-single" else wrapped(f"{method} – {baseline}", 58)


def _drawn_parts(source: Source) -> bool:
    """Tell whether seeds test on parts of one data set, so that the t interval speaks for other images too."""
    return source.found.protocol.test_share is not None


def _reading(source: Source) -> str:
    seeds = counted(source.found.looks.current, "seed")
    if _drawn_parts(source):
        return (
            f"Bars: simultaneous interval over {seeds}, each of which tests on its own part of the images, corrected "
            "for the training images that they share (Nadeau and Bengio 2003); grey: differences that count as none."
        )
    return (
        f"Thick: simultaneous interval over {seeds}; thin: over seeds and images; grey: differences that count as none."
    )


def _summary(blocks: Sequence[Block]) -> str:
    lines = [f"{line.label} {points(line.difference)}, {line.verdict}" for line in blocks[0].lines]
    return f"{blocks[0].heading}: {'; '.join(lines)}."
