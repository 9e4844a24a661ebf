"""Numbers that others have printed, as lines of Table 2: named with their source, and never tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmark.analysis.report import PrintedElsewhere
from benchmark.config import UserError
from benchmark.reporting.tables import Cell, Table, name_cell
from benchmark.statistics.proportions import printed_value

MARK = "‡"


def read_beside(path: Path) -> list[PrintedElsewhere]:
    """Read a table with the columns method, accuracy (percent, as printed) and source; networks is optional.

    Raises:
        UserError: a column is missing or empty, or an accuracy is no percentage.
    """
    from benchmark.analysis.outside import read_tables  # with pandas, which a table does without

    frame = read_tables([path], text=True)
    if lacking := [name for name in ("method", "accuracy", "source") if name not in frame.columns]:
        raise UserError(
            f"{path}: column '{lacking[0]}' is missing; --beside reads method, accuracy, source and networks"
        )
    rows = frame.fillna("").to_dict("records")
    for row in rows:
        if not row["method"] or not row["source"]:
            raise UserError(f"{path}: a line without method or source")
        try:
            printed_value(row["accuracy"])
        except ValueError as error:
            raise UserError(f"{path}: {row['method']}: {error}") from error
    return [
        PrintedElsewhere(**{name: str(row.get(name, "")) for name in PrintedElsewhere.model_fields}) for row in rows
    ]


def with_beside(table: Table, rows: Sequence[PrintedElsewhere]) -> Table:
    """Return Table 2 with printed numbers of others below its own."""
    place = {column.key: index for index, column in enumerate(table.columns)}
    added = []
    for row in rows:
        cells = [Cell("", (None,) * len(column.fields)) for column in table.columns]
        cells[0] = name_cell(row.method, row.method, row.method)
        if row.networks and table.names > 1:
            cells[1] = name_cell(row.networks, row.networks, row.networks)
        value = printed_value(row.accuracy)[0]
        cells[place["accuracy"]] = Cell(row.accuracy, (value, None, None, None), (MARK,))
        added.append(cells)
    sources = "; ".join(f"{row.method}, {row.source}" for row in rows)
    note = f"{MARK} Printed by others and not run here, so not tested: {sources}."
    return replace(table, rows=[*table.rows, *added], notes=[*table.notes, note])
