"""Table 3: the readings of the attention formula, by the order in which the test images are evaluated."""

from __future__ import annotations

import statistics
from typing import Any

from benchmark.analysis.facts import in_order, may_be_read, percent_by_seed
from benchmark.analysis.paper import read_paper
from benchmark.config import UserError
from benchmark.ledger import Ledger
from benchmark.reporting.accuracy import SPREAD_NOTE, data_name, data_notes
from benchmark.reporting.tables import BATCH, Cell, Column, Table, name_cell, number_cell, spread_cell, spread_column

ORDERS = {
    "file_order": "File order",
    "sorted_by_class": "Sorted by class",
    "shuffled": "Shuffled",
    "one_by_one": "One by one",
}


def reading_table(ledger: Ledger) -> Table:
    """Return Table 3 from the audit's findings.

    Raises:
        UserError: no method with several readings was audited.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in ledger.audit:
        in_main = finding["backbones"] in ledger.experiment["main"]["groups"]
        if in_main and may_be_read(finding["method"]):
            found.setdefault(finding["method"], []).append(finding)
    if not found:
        raise UserError(f"experiment '{ledger.name}' has no audit; run `ferfuse audit --experiment {ledger.name}`")
    listed = [method for method in read_paper().readings if method in found]
    body = [_cells(found[method]) for method in in_order(found, listed)]
    seeds = len({finding["seed"] for findings in found.values() for finding in findings})
    groups = len({tuple(finding["backbones"]) for findings in found.values() for finding in findings})
    batch = ledger.audit[0]["batch_size"]
    title = (
        f"Readings of the attention by evaluation order: test accuracy (%) on {data_name(ledger)}, profile "
        f"{ledger.experiment['settings']['profile']}, mean over {groups} pair{'s' if groups > 1 else ''} and {seeds} "
        f"seed{'s' if seeds > 1 else ''}, batches of {batch}, epoch selected on validation"
    )
    notes = [
        SPREAD_NOTE.replace("over n seeds", "over seeds, of the mean over pairs"),
        "Shuffled is the mean of 5 orders. Changed is the share of images whose predicted class is not that of file "
        "order in some other order.",
        "Batch averaged is the mean of the batches' accuracies in file order.",
        *data_notes(ledger),
    ]
    columns = [
        Column("method", "Reading", ("method", "method_title"), kind="name"),
        *(spread_column(order, words) for order, words in ORDERS.items()),
        spread_column("batch_averaged", "Batch averaged"),
        Column("changed", "Changed (%)"),
        Column("verdict", "Verdict", kind="word"),
    ]
    return Table(3, title, columns, body, notes)


def _cells(findings: list[dict[str, Any]]) -> list[Cell]:
    depends = any(finding["verdict"].startswith("depends") for finding in findings)
    seeds = [finding["seed"] for finding in findings]
    changed = percent_by_seed(seeds, [max(finding["changed"].values()) for finding in findings])
    title = findings[0]["titles"]["method"]
    return [
        name_cell(title, findings[0]["method"], title, marks=[BATCH] * depends),
        *(spread_cell(percent_by_seed(seeds, [f["accuracy"][order] for f in findings])) for order in ORDERS),
        spread_cell(percent_by_seed(seeds, [f["batch_averaged_accuracy"] for f in findings])),
        number_cell(statistics.fmean(changed), ".2f"),
        name_cell("depends on the batch" if depends else "independent"),
    ]
