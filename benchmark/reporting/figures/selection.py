"""Selection optimism: what a number gains by choosing its epoch on the images that it is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from benchmark.analysis.facts import SELECTION
from benchmark.ledger import again
from benchmark.reporting.figures.source import Floats, LackingError, Source, by_seed, spread
from benchmark.reporting.figures.style import BLUE, INK, PAPER, VERMILLION, Chart, drawn_alone
from benchmark.reporting.wording import points

RULES = {
    "best_test_epoch": ("Best epoch on test", VERMILLION, "D", VERMILLION),
    "last_epoch": ("Last epoch", BLUE, "s", PAPER),
}


@dataclass(frozen=True, eq=False)
class Gain:
    """Points over the validation-selected epoch, by rule: mean over pairs and seeds, and spread over seeds."""

    title: str
    means: dict[str, float]
    spreads: dict[str, float]


def gains(source: Source) -> list[Gain]:
    """Return the gains of every method and reading that has epochs to choose from."""
    listed = dict.fromkeys([*source.methods, *source.found.readings])
    methods = [method for method in listed if _learns(source, method)]
    return [_gain(source, method) for method in methods]


def selection_chart(source: Source) -> Chart:
    """Return the dot plot of gains, a line for each method."""
    found = gains(source)
    if not found:
        way = again(source.ledger.experiment, "--methods early")
        raise LackingError(f"no method has epochs to choose from; `{way}` trains one")
    caption = (
        "Test accuracy under two other choices of the epoch, minus that of the epoch chosen on validation, mean over "
        "pairs. Bars: standard deviation over seeds. The best epoch on test looks at what it is measured on: its gain "
        "is optimism, not skill."
    )
    size = (1.2 + 0.3 * len(found), 2)
    figure = drawn_alone(lambda axes: draw_gains(axes, found), size, source.about)
    return Chart(caption, _summary(found), figure)


def draw_gains(axes: Axes, found: Sequence[Gain]) -> None:
    """Draw both rules of each method, the first method at the top."""
    axes.axvline(0, color=INK, linewidth=0.8)
    for offset, (rule, (label, colour, marker, face)) in zip((-0.14, 0.14), RULES.items(), strict=True):
        means = np.array([gain.means[rule] for gain in found])
        axes.errorbar(
            means,
            np.arange(len(found)) + offset,
            xerr=[gain.spreads[rule] for gain in found],
            fmt=marker,
            color=colour,
            markerfacecolor=face,
            markersize=4.5,
            elinewidth=1.1,
            label=label,
        )
    axes.set_yticks(range(len(found)), [gain.title for gain in found])
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("Difference from the validation-selected epoch (percentage points)")
    axes.grid(axis="x")


def _gain(source: Source, method: str) -> Gain:
    found = {rule: _over_validation(source, method, rule) for rule in RULES}
    means = {rule: float(values.mean()) for rule, values in found.items()}
    return Gain(source.title(method), means, {rule: float(spread(values)) for rule, values in found.items()})


def _over_validation(source: Source, method: str, rule: str) -> Floats:
    runs = source.runs(method)
    return by_seed(runs, [100 * (r.metrics[rule]["accuracy"] - r.metrics[SELECTION]["accuracy"]) for r in runs])


def _learns(source: Source, method: str) -> bool:
    return any(record.selected_epoch > 0 for record in source.runs(method))


def _summary(found: Sequence[Gain]) -> str:
    texts = [f"{gain.title} {points(gain.means['best_test_epoch'])}" for gain in found]
    return f"Optimism of the best epoch on test, in points: {'; '.join(texts)}."
