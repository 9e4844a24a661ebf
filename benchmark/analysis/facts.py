"""What several parts of an analysis ask of a ledger: which methods depend on the batch, how it is tested."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from benchmark.analysis.paper import read_paper
from benchmark.config import base_name
from benchmark.ledger import Ledger

SELECTION = "validation_selected"
RULES = {"validation_selected": "Validation", "last_epoch": "Last epoch", "best_test_epoch": "Best on test"}


def batch_dependent_methods(ledger: Ledger) -> set[str]:
    """Return the methods that declare a dependence on their batch, or that the audit found to have one."""
    declared = {str(record.method) for record in ledger.of_kind("fusion") if record.batch_dependent}
    return declared | {finding["method"] for finding in ledger.audit if finding["verdict"].startswith("depends")}


def in_order(items: Any, first: Sequence[Any], key: Callable[[Any], Any] = lambda item: item) -> list[Any]:
    """Return items in the order of `first`, those it does not hold after them as they come."""
    rank: dict[Any, int] = {}
    for position, item in enumerate(first):
        rank.setdefault(item, position)
    return sorted(items, key=lambda item: rank.get(key(item), len(rank)))


def percent_by_seed(seeds: Sequence[int], fractions: Sequence[float]) -> list[float]:
    """Return, for each seed in order, the mean in percent of the fractions that belong to it."""
    found: dict[int, list[float]] = {}
    for seed, value in zip(seeds, fractions, strict=True):
        found.setdefault(seed, []).append(100 * value)
    return [statistics.fmean(values) for _, values in sorted(found.items())]


def test_share(ledger: Ledger) -> float:
    """Return the share of images in a seed's own test part, 0 where all seeds test on the same images."""
    data = ledger.experiment["settings"].get("data", {})
    return 1 / data["test_folds"] if data.get("split", "official") != "official" else 0.0


def is_tuned(ledger: Ledger) -> bool:
    """Tell whether settings of single methods or backbones were chosen by tuning."""
    return bool(ledger.experiment["settings"].get("tuned"))


def is_comparable(ledger: Ledger) -> bool:
    """Tell whether the paper's numbers are about the same data."""
    return bool(ledger.experiment["dataset"]["name"] == read_paper().dataset)


def is_reading(method: str) -> bool:
    """Tell whether a method is one that the paper leaves open how to read, under other settings than the default."""
    return ":" in method and may_be_read(method)


def may_be_read(method: str) -> bool:
    """Tell whether a method is one whose formula the paper leaves open, in any reading, and no control arm."""
    return base_name(method) in read_paper().readings and read_paper().control not in method
