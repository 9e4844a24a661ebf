"""Table 5: what a number gains from how it was chosen and averaged, read off the same runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmark.analysis.facts import RULES, batch_dependent_methods, in_order, percent_by_seed
from benchmark.analysis.paper import read_paper
from benchmark.ledger import Ledger, Record
from benchmark.reporting.accuracy import SPREAD_NOTE, data_name, data_notes
from benchmark.reporting.tables import BATCH, Cell, Column, Table, name_cell, number_cell, spread_cell, spread_column


def selection_table(ledger: Ledger) -> Table:
    """Return Table 5: accuracy under three selection rules, and averaged over batches as scripts often do."""
    methods: dict[str | None, list[Record]] = {}
    for record in [*ledger.of_kind("backbone"), *ledger.of_kind("fusion")]:
        methods.setdefault(record.method, []).append(record)
    dependent = batch_dependent_methods(ledger)
    body = [
        _cells(ledger, method, methods[method], method in dependent)
        for method in in_order(methods, [None, *read_paper().methods, *ledger.experiment["main"]["methods"]])
    ]
    title = (
        f"Selection optimism: test accuracy (%) on {data_name(ledger)}, profile "
        f"{ledger.experiment['settings']['profile']}, mean over backbones or groups"
    )
    notes = [
        SPREAD_NOTE.replace("over n seeds", "over seeds, of the mean over backbones or groups"),
        "Best on test looks at the test images to choose the epoch; its excess over validation is the optimism.",
        "Batch averaged is the mean of the accuracies of batches in file order, validation-selected.",
        "A method that learns nothing has no epochs to choose from.",
        *data_notes(ledger),
    ]
    columns = [
        Column("method", "Method", ("method", "method_title"), kind="name"),
        *(spread_column(rule, words) for rule, words in RULES.items()),
        spread_column("optimism", "Optimism (points)"),
        spread_column("batch_averaged", "Batch averaged"),
        Column("n", "n"),
    ]
    return Table(5, title, columns, body, notes)


def _cells(ledger: Ledger, method: str | None, records: Sequence[Record], depends: bool) -> list[Cell]:
    seeds = [record.seed for record in records]
    by_rule = {rule: percent_by_seed(seeds, [record.metrics[rule]["accuracy"] for record in records]) for rule in RULES}
    optimism = [
        best - chosen for best, chosen in zip(by_rule["best_test_epoch"], by_rule["validation_selected"], strict=True)
    ]
    title = "Backbones alone" if method is None else records[0].titles["method"]
    return [
        name_cell(title, method or "backbones", title, marks=[BATCH] * depends),
        *(spread_cell(by_rule[rule]) for rule in RULES),
        spread_cell(optimism),
        spread_cell(percent_by_seed(seeds, [batch_averaged_accuracy(ledger, record) for record in records])),
        number_cell(len(optimism), "d"),
    ]


def batch_averaged_accuracy(ledger: Ledger, record: Record) -> float:
    """Return the mean over batches of their accuracies on the test images in file order, as a fraction.

    It differs from the accuracy only where the last batch is smaller, whose images then weigh more.
    """
    shown = ledger.classified(record.run_id)
    right = shown.is_right[shown.is_test]
    batch = int(record.hyperparameters["batch_size"])
    return statistics.fmean(float(right[i : i + batch].mean()) for i in range(0, len(right), batch))
