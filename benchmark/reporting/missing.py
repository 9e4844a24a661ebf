"""What the tables do not show: runs that are missing, and earlier versions of a plug-in."""

from __future__ import annotations

from collections.abc import Iterable

from benchmark.config import base_name
from benchmark.ledger import Ledger
from benchmark.reporting.wording import missing_text


def missing_runs(ledger: Ledger, methods: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Return how many runs a method lacks and how many it would have, for each that has not all of them."""
    settings, main = ledger.experiment["settings"], ledger.experiment["main"]
    there = {(record.method, tuple(record.backbones), record.seed) for record in ledger.of_kind("fusion")}
    groups = [tuple(group) for group in main["groups"] if len(group) > 1]
    seeds = {*range(settings["seeds"]), *(record.seed for record in ledger.records)}
    cells = {method: [(method, group, seed) for group in groups for seed in seeds] for method in methods}
    lacking = {method: len([cell for cell in wanted if cell not in there]) for method, wanted in cells.items()}
    return {method: (count, len(cells[method])) for method, count in lacking.items() if count}


def method_notes(ledger: Ledger) -> list[str]:
    """Say which methods lack runs, and which version of a plug-in is shown where there are others."""
    methods = ledger.experiment["main"]["methods"]
    missing = missing_runs(ledger, methods)
    notes = [f"Left out of every comparison: {missing_text(missing)}; 'ferfuse status' says why."] if missing else []
    plugins = ledger.experiment.get("plugins", {})
    for name in dict.fromkeys(map(base_name, methods)):
        if earlier := ledger.earlier_versions(name):
            notes.append(
                f"{name} is version {plugins[name]['digest']} of its plug-in; not shown, and tested on these images: "
                f"{', '.join(sorted(earlier))}."
            )
    return notes
