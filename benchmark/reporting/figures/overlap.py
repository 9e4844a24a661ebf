"""Error overlap: on which test images both networks of a pair are right, one of them, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from benchmark.analysis.paper import read_paper
from benchmark.ledger import again
from benchmark.reporting.figures.source import Floats, LackingError, Source, accuracy, by_seed
from benchmark.reporting.figures.style import BLUE, INK, MUTED, PAPER, SKY, Chart, drawn_alone

MARKERS = "oD"
PARTS = ("both right", "first alone right", "second alone right", "both wrong")
LOOKS = ((BLUE, 0.9, ""), (SKY, 0.9, "///"), (SKY, 0.4, "\\\\\\"), (MUTED, 0.15, ""))


@dataclass(frozen=True, eq=False)
class Overlap:
    """Of one pair: (4,) percent of test images by `PARTS`, mean over seeds; accuracies of what fuses it."""

    label: str
    shares: Floats
    fused: dict[str, float]


def overlaps(source: Source) -> list[Overlap]:
    """Return the overlap of every pair of the main comparison, and of a network with a second copy of itself."""
    groups = dict.fromkeys(tuple(r.backbones) for r in source.ledger.of_kind("fusion"))
    twins = [group for group in groups if group not in source.groups and any("#" in name for name in group)]
    return [_overlap(source, group) for group in [*source.groups, *twins] if len(group) == 2]


def overlap_chart(source: Source) -> Chart:
    """Return stacked bars, a pair each."""
    found = overlaps(source)
    if not found:
        way = again(source.ledger.experiment, "--backbones resnet18 vgg13")
        raise LackingError(f"there is no pair of networks; `{way}` makes one")
    caption = (
        "Test images by which network of the pair is right, mean over seeds. The light part at the right is out of "
        "reach of any choice between the two; the hatched parts are what fusion can win. Markers: accuracy of fusion "
        "on the same scale."
    )
    titles = {method: source.title(method) for method in _fused()}
    size = (1.4 + 0.36 * len(found), 3)
    figure = drawn_alone(lambda axes: draw_overlaps(axes, found, titles), size, source.about)
    return Chart(caption, _summary(found), figure)


def draw_overlaps(axes: Axes, found: Sequence[Overlap], titles: dict[str, str]) -> None:
    """Draw the shares of each pair side by side, the first pair at the top."""
    heights = np.arange(len(found))
    shares = np.array([overlap.shares for overlap in found])
    for part, (name, (colour, alpha, hatch)) in enumerate(zip(PARTS, LOOKS, strict=True)):
        left = shares[:, :part].sum(axis=1)
        bars = axes.barh(heights, shares[:, part], left=left, height=0.62, label=name, linewidth=0.6)
        for bar in bars:
            bar.set(facecolor=(colour, alpha), edgecolor=INK, hatch=hatch)
    for (method, title), marker in zip(titles.items(), MARKERS, strict=True):
        known = [(overlap.fused[method], place) for place, overlap in enumerate(found) if method in overlap.fused]
        if known:
            x, y = zip(*known, strict=True)
            axes.plot(x, y, marker, color=INK, markerfacecolor=PAPER, markersize=5, label=title)
    axes.set_yticks(heights, [overlap.label for overlap in found])
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("Test images (%)")


def _overlap(source: Source, group: tuple[str, ...]) -> Overlap:
    first, second = (source.alone(name) for name in group)
    assert [record.seed for record in first] == [record.seed for record in second]
    values = []
    for one, other in zip(first, second, strict=True):
        a, b = source.predicted(one).right, source.predicted(other).right
        values.append([100 * np.mean(share) for share in (a & b, a & ~b, ~a & b, ~a & ~b)])
    fused = {
        method: float(np.mean([accuracy(record) for record in runs]))
        for method in _fused()
        if (runs := source.runs(method, [group]))
    }
    return Overlap(source.group_title(group), by_seed(first, values).mean(axis=0), fused)


def _fused() -> tuple[str, str]:
    """Return the methods whose accuracy is marked: the paper's first baseline, and its own."""
    asked = read_paper().question
    return asked.against[0], asked.method


def _summary(found: Sequence[Overlap]) -> str:
    texts = [
        f"{overlap.label}: {overlap.shares[1] + overlap.shares[2]:.1f} % right by one alone, ceiling "
        f"{100 - overlap.shares[3]:.1f} %"
        for overlap in found
    ]
    return "; ".join(texts) + "."
