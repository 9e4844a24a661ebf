"""What the comparisons leave out: methods that lack runs."""

from __future__ import annotations

from collections.abc import Iterable

from benchmark.ledger import Ledger


def missing_runs(ledger: Ledger, methods: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Return how many runs a method lacks and how many it would have, for each that has not all of them."""
    settings, main = ledger.experiment["settings"], ledger.experiment["main"]
    there = {(record.method, tuple(record.backbones), record.seed) for record in ledger.of_kind("fusion")}
    groups = [tuple(group) for group in main["groups"] if len(group) > 1]
    seeds = {*range(settings["seeds"]), *(record.seed for record in ledger.records)}
    cells = {method: [(method, group, seed) for group in groups for seed in seeds] for method in methods}
    lacking = {method: len([cell for cell in wanted if cell not in there]) for method, wanted in cells.items()}
    return {method: (count, len(cells[method])) for method, count in lacking.items() if count}
