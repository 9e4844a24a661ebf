"""All figures of a report in its order: each drawn, or left out with the reason."""

from __future__ import annotations

from collections.abc import Callable

from benchmark.reporting.figures.calibration import calibration_chart
from benchmark.reporting.figures.confusion import confusion_chart
from benchmark.reporting.figures.cost import cost_chart
from benchmark.reporting.figures.forest import forest_chart, pair_forest_chart
from benchmark.reporting.figures.learning import learning_chart
from benchmark.reporting.figures.orders import orders_chart
from benchmark.reporting.figures.overlap import overlap_chart
from benchmark.reporting.figures.paired import paired_chart
from benchmark.reporting.figures.recall import recall_chart
from benchmark.reporting.figures.selection import selection_chart
from benchmark.reporting.figures.source import LackingError, Source
from benchmark.reporting.figures.style import Chart
from benchmark.reporting.figures.titles import TITLES

CHARTS: dict[str, Callable[[Source], Chart]] = {
    "forest": forest_chart,
    "seed-by-seed": paired_chart,
    "forest-by-pair": pair_forest_chart,
    "accuracy-against-cost": cost_chart,
    "evaluation-order": orders_chart,
    "error-overlap": overlap_chart,
    "selection-optimism": selection_chart,
    "recall": recall_chart,
    "confusion": confusion_chart,
    "calibration": calibration_chart,
    "learning-curves": learning_chart,
}


def all_charts(source: Source) -> dict[str, Chart | LackingError]:
    """Return every figure in the order of the report, or why the ledger has none."""
    return {name: _chart(source, name) for name in TITLES}


def _chart(source: Source, name: str) -> Chart | LackingError:
    try:
        return CHARTS[name](source)
    except LackingError as error:
        return error
