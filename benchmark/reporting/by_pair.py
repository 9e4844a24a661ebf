"""Table 2 as papers print it: a line for every method, a column for every pair of networks, their mean before them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from benchmark.analysis.facts import is_comparable
from benchmark.analysis.report import Report
from benchmark.ledger import Ledger
from benchmark.reporting.accuracy import Row, data_name, fusion_rows, seeds_text
from benchmark.reporting.tables import BATCH, NOTES_OF, OTHER_DATA, Cell, Column, Table, spread_cell, spread_column
from benchmark.statistics.means import means_by_seed

ACROSS = 5  # columns of numbers side by side: at 8 pt beside names in 122 mm, and in 100 characters
MEAN = "mean"
Networks = tuple[str, ...]


def by_pair(table: Table, ledger: Ledger, found: Report | None) -> Table:
    """Return the long Table 2 as methods × pairs, with the mean over pairs.

    A cell is the mean over seeds ± their sample standard deviation. The mean over pairs is taken seed by seed, over the
    seeds that all pairs have; a method that lacks a pair has none.

    Args:
        table: the long one, with its verdicts.
        found: the report, for the best on the mean over pairs.
    """
    rows = fusion_rows(ledger)
    pairs = {row.backbones: " + ".join(row.names) for row in rows}
    columns = [
        Column("method", "Fusion method", ("method", "method_title"), kind="name"),
        *([spread_column(MEAN, "Mean")] if len(pairs) > 1 else []),
        *(spread_column("+".join(networks), title) for networks, title in pairs.items()),
    ]
    top = _top(found)
    body = []
    for method in dict.fromkeys(row.method for row in rows):
        own = {row.backbones: row for row in rows if row.method == method}
        means = [_mean_cell(list(own.values()), len(pairs), is_best=top == [method])] if len(pairs) > 1 else []
        cells = _cells(table, str(method))
        first = next(iter(own.values()))
        name = Cell(str(first.group), (method, first.group), (BATCH,) * first.batch_dependent)
        body.append([name, *means, *(cells.get(pair, Cell("", (None, None))) for pair in pairs)])
        if is_comparable(ledger) and any(row.printed for row in own.values()):
            body.append(_printed(own, pairs, with_mean=bool(means)))
    titles = [column.title for column in columns[1:]]
    ours = {row.method for row in rows}
    body += [_beside(row, titles, table) for row in table.rows if row[0].values[0] not in ours]
    return replace(
        table,
        caption=_caption(ledger, rows),
        columns=columns,
        rows=body,
        notes=[note for note in table.notes if _is_about_accuracy(note)],
        grouped=False,
        across=ACROSS,
    )


def _mean_cell(rows: Sequence[Row], pairs: int, *, is_best: bool) -> Cell:
    by_seed = [dict(zip(row.seeds, row.accuracies, strict=True)) for row in rows]
    values = means_by_seed(by_seed) if len(rows) == pairs else []
    return replace(spread_cell(values), is_best=is_best and bool(values))


def _top(found: Report | None) -> list[str]:
    """Return the methods that no other one is above on the mean over pairs; none where nothing was compared."""
    family = found.standings.get("methods") if found else None
    return family.groups[0].top if family and len(family.compared) > 1 else []


def _cells(table: Table, method: str) -> dict[Networks, Cell]:
    """Return the accuracies of a method by its networks; the mark of a method stands beside its name."""
    return {
        tuple(str(cell.values[0]) for cell in row[1 : table.names] if cell.text): _accuracy(row, table)
        for row in table.rows
        if row[0].values[0] == method
    }


def _accuracy(row: Sequence[Cell], table: Table) -> Cell:
    cell = row[table.place("accuracy")]
    return replace(cell, values=cell.values[:2], marks=())


def _printed(own: dict[Networks, Row], pairs: Iterable[Networks], *, with_mean: bool) -> list[Cell]:
    """Return the line of the paper's own numbers below a method's."""
    texts = [own[pair].printed if pair in own else None for pair in pairs]
    cells = [Cell(text, (text, None)) if text else Cell("", (None, None)) for text in texts]
    title = next(iter(own.values())).group
    name = Cell("as the paper prints it", ("", f"{title}, as the paper prints it"))
    return [name, *([Cell("", (None, None))] if with_mean else []), *cells]


def _beside(row: Sequence[Cell], titles: Sequence[str], table: Table) -> list[Cell]:
    """Return the line of a number that others printed: in the column of its networks, or in the first."""
    networks = " + ".join(cell.text for cell in row[1 : table.names] if cell.text)
    column = networks if networks in titles else titles[0]
    words = row[0].text if networks in ("", column) else f"{row[0].text} ({networks})"
    name = replace(row[0], text=words, marks=row[table.place("accuracy")].marks)
    return [name, *(_accuracy(row, table) if column == title else Cell("", (None, None)) for title in titles)]


def _caption(ledger: Ledger, rows: Sequence[Row]) -> str:
    return f"Test accuracy (%) of fusion methods on {data_name(ledger)}, {seeds_text(rows)}"


def _is_about_accuracy(note: str) -> bool:
    """Tell whether a note of the long table is about what is shown here."""
    elsewhere = (*NOTES_OF.values(), "The verdict is", OTHER_DATA)
    return not note.startswith(elsewhere)
