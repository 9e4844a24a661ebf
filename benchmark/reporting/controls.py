"""Table 4: what fusion is measured against, from one network alone to the ceiling of choosing between them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np

from benchmark.analysis.facts import SELECTION, batch_dependent_methods, in_order
from benchmark.analysis.paper import read_paper
from benchmark.config import UserError
from benchmark.ledger import Ledger, Record
from benchmark.reporting.accuracy import SPREAD_NOTE, data_name, data_notes
from benchmark.reporting.tables import Cell, Column, Table, name_cell, number_cell, spread_cell, spread_column

Branch = tuple[np.ndarray, np.ndarray]


def control_table(ledger: Ledger) -> Table:
    """Return Table 4: a row for every group, for the same network twice, and for single networks of a group's size.

    Raises:
        UserError: the ledger holds no fused group.
    """
    groups = dict.fromkeys(tuple(record.backbones) for record in ledger.of_kind("fusion"))
    if not groups:
        raise UserError(f"experiment '{ledger.name}' has no fused networks to compare with its controls")
    pairs = max(map(len, groups)) == 2
    one = "either" if pairs else "any"
    dependent = batch_dependent_methods(ledger)
    titles = read_paper().controls
    methods = [m for m in titles if m not in dependent and any(r.method == m for r in ledger.records)]
    branches = {(r.backbones[0], r.seed): _branch(ledger, r) for r in ledger.of_kind("backbone")}
    ordered = in_order(groups, read_paper().pairs, key=frozenset)
    body = [_group_cells(ledger, group, methods, branches) for group in ordered]
    fused = {name for group in groups for name in group}
    alone = dict.fromkeys(r.backbones[0] for r in ledger.of_kind("backbone") if r.backbones[0] not in fused)
    body += [_single_cells(ledger, name, len(methods)) for name in alone]
    title = (
        f"Fusion and its controls: test accuracy (%) on {data_name(ledger)}, profile "
        f"{ledger.experiment['settings']['profile']}, epoch selected on validation"
    )
    notes = [
        SPREAD_NOTE,
        f"Best single is the branch with the {'higher' if pairs else 'highest'} validation accuracy, seed by seed.",
        f"Size is millions of parameters, branches included. Oracle is the share of images that {one} branch gets "
        f"right, the ceiling of choosing between {'two' if pairs else 'them'}. Disagree is the share (%) on which "
        f"their classes differ; overlap the share (%) that {'both' if pairs else 'all'} get wrong among those that "
        f"{one} gets wrong.",
        "Shuffled: the second network is asked about another image, so that what remains is the first one's work.",
        *data_notes(ledger),
    ]
    columns = [
        Column("networks", "Networks", ("backbones", "networks"), kind="name"),
        Column("parameters", "Size (M)"),
        spread_column("best_single", "Best single"),
        *(spread_column(method, titles[method]) for method in methods),
        spread_column("oracle", "Oracle"),
        Column("disagree", "Disagree"),
        Column("overlap", "Overlap"),
    ]
    return Table(4, title, columns, body, notes)


def _group_cells(
    ledger: Ledger, group: tuple[str, ...], methods: Sequence[str], branches: dict[tuple[str, int], Branch]
) -> list[Cell]:
    records = [record for record in ledger.of_kind("fusion") if tuple(record.backbones) == group]
    singles, some_right, disagree, overlap = [], [], [], []
    for seed in sorted({record.seed for record in records}):
        validation, test = zip(*(branches[name, seed] for name in group), strict=True)
        singles.append(_best_single(validation, test))
        right, said = np.stack([_right(predictions) for predictions in test]), np.stack([one[0] for one in test])
        some_right.append(100 * float(np.mean(right.any(axis=0))))
        disagree.append(100 * float(np.mean((said != said[0]).any(axis=0))))
        some_wrong = float(np.mean(~right.all(axis=0)))
        overlap.append(100 * float(np.mean(~right.any(axis=0))) / some_wrong if some_wrong else 0.0)
    cells = [_accuracy_cell([r for r in records if r.method == method]) for method in methods]
    asked = [record for record in records if record.method == read_paper().question.method] or records
    return [
        name_cell(
            " + ".join(records[0].titles["backbones"]), " + ".join(group), " + ".join(records[0].titles["backbones"])
        ),
        _size_cell(asked[0]),
        spread_cell(singles),
        *cells,
        spread_cell(some_right),
        number_cell(statistics.fmean(disagree), ".1f"),
        number_cell(statistics.fmean(overlap), ".1f"),
    ]


def _single_cells(ledger: Ledger, name: str, methods: int) -> list[Cell]:
    records = [record for record in ledger.of_kind("backbone") if record.backbones[0] == name]
    title = f"{records[0].titles['backbones'][0]} alone"
    blank = [*[spread_cell([])] * (methods + 1), Cell(), Cell()]
    return [name_cell(title, name, title), _size_cell(records[0]), _accuracy_cell(records), *blank]


def _size_cell(record: Record) -> Cell:
    return Cell(f"{record.parameters / 1e6:.1f}", (record.parameters,))


def _accuracy_cell(records: Sequence[Record]) -> Cell:
    return spread_cell([100 * r.metrics[SELECTION]["accuracy"] for r in records])


def _branch(ledger: Ledger, record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Return (2, N) predicted and true classes of validation and of test, ordered by image id."""
    import pyarrow.compute as pc  # the table of another ledger may need none of it

    shown = ledger.classified(record.run_id)
    order = pc.sort_indices(shown.image_ids).to_numpy()
    both, is_test = np.stack([shown.predicted, shown.labels])[:, order], shown.is_test[order]
    return both[:, ~is_test], both[:, is_test]


def _best_single(validation: Sequence[np.ndarray], test: Sequence[np.ndarray]) -> float:
    chosen = int(np.argmax([np.mean(_right(predictions)) for predictions in validation]))
    return 100 * float(np.mean(_right(test[chosen])))


def _right(predictions: np.ndarray) -> np.ndarray:
    right: np.ndarray = predictions[0] == predictions[1]
    return right
