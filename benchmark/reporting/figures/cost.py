"""Accuracy against cost: what no other model beats at a lower cost is the front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from benchmark.ledger import Record
from benchmark.reporting.figures.source import Source, accuracy
from benchmark.reporting.figures.style import INK, MUTED, PAPER, Chart, Mark, drawn, marks

ALONE = "One network alone"
COSTS = {"multiply_adds": "Multiply-adds (millions)", "parameters": "Parameters (millions)"}


@dataclass(frozen=True)
class Model:
    """A method on a group, or a network alone: costs in millions, accuracy in percent, mean over seeds."""

    kind: str
    label: str
    multiply_adds: float
    parameters: float
    accuracy: float
    sound: bool


def models(source: Source) -> list[Model]:
    """Return every network alone and every method on every group of the main comparison."""
    flagged = source.found.batch_dependent
    listed = source.ledger.experiment["main"]["backbones"]
    alone = [_model(ALONE, source.group_title([name]), source.alone(name), True) for name in listed]
    fused = [
        _model(
            source.title(method), f"{source.title(method)}, {source.group_title(group)}", runs, method not in flagged
        )
        for method in source.methods
        for group in source.groups
        if (runs := source.runs(method, [group]))
    ]
    return [*alone, *fused]


def front(found: Sequence[Model], cost: str) -> list[Model]:
    """Return the models that are more accurate than every cheaper one, from the cheapest; † are not ranked."""
    best = -np.inf
    chosen = []
    for model in sorted((m for m in found if m.sound), key=lambda m: (getattr(m, cost), -m.accuracy)):
        if model.accuracy > best:
            best = model.accuracy
            chosen.append(model)
    return chosen


def cost_chart(source: Source) -> Chart:
    """Return the scatter of all models against both costs."""
    found = models(source)
    fronts = {cost: front(found, cost) for cost in COSTS}
    caption = (
        "Test accuracy, mean over seeds, against multiply-adds and parameters of the whole model, its networks "
        "included (logarithmic). Ringed and numbered: the front, models that no cheaper one reaches. Differences along "
        "it are not tested here."
    )
    if any(not model.sound for model in found):
        caption += " Hollow (†): predictions depend on the batch; never on the front."
    kinds = marks(list(dict.fromkeys(model.kind for model in found)))

    def draw(figure: Figure) -> None:
        both = figure.subplots(1, 2, sharey=True)
        for axes, (cost, label) in zip(both, COSTS.items(), strict=True):
            draw_costs(axes, found, fronts[cost], cost, kinds)
            axes.set_xlabel(label)
        both[0].set_ylabel("Test accuracy (%)")
        keys = [Line2D([], [], color=m.colour, marker=m.marker, linestyle="", label=k) for k, m in kinds.items()]
        keys.append(Line2D([], [], color=INK, linewidth=0.8, linestyle=":", label="front"))
        figure.legend(handles=keys, loc="outside upper left", ncols=3)

    figure = drawn(draw, 3.6 + 0.16 * (len(kinds) // 3), source.about)
    return Chart(caption, _summary(fronts), figure)


def draw_costs(axes: Axes, found: Sequence[Model], chosen: Sequence[Model], cost: str, kinds: dict[str, Mark]) -> None:
    """Draw every model at its cost, and the front as a staircase."""
    steps = [(getattr(model, cost), model.accuracy) for model in chosen]
    dearest = max(getattr(model, cost) for model in found)
    x, y = zip(*steps, (dearest, steps[-1][1]), strict=True)
    axes.step(x, y, where="post", color=INK, linewidth=0.8, linestyle=":")
    for model in found:
        mark = kinds[model.kind]
        axes.plot(
            [getattr(model, cost)],
            [model.accuracy],
            mark.marker,
            color=mark.colour,
            markerfacecolor=mark.colour if model.sound else PAPER,
            markeredgecolor=mark.colour,
            markersize=4.5,
            alpha=0.85,
        )
    for number, step in enumerate(steps, start=1):
        axes.plot(*step, "o", color=INK, markerfacecolor="none", markersize=9, markeredgewidth=0.8)
        axes.annotate(str(number), step, (-6, 5), textcoords="offset points", ha="right", fontsize=7)
    axes.set_xscale("log")
    axes.margins(x=0.12, y=0.12)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(color=MUTED, alpha=0.25)


def _model(kind: str, label: str, runs: Sequence[Record], sound: bool) -> Model:
    mean = float(np.mean([accuracy(record) for record in runs]))
    return Model(kind, label, runs[0].macs / 1e6, runs[0].parameters / 1e6, mean, sound)


def _summary(fronts: dict[str, list[Model]]) -> str:
    texts = []
    for cost, chosen in fronts.items():
        listed = [f"{i}: {model.label}, {model.accuracy:.2f} %" for i, model in enumerate(chosen, start=1)]
        texts.append(f"Front by {cost.replace('_', '-')}: {'; '.join(listed)}.")
    return " ".join(texts)
