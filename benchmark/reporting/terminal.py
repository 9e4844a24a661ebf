"""A table on a terminal: as wide as the window, and no wider."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from benchmark.reporting.tables import Cell, Column, Table

WIDEST = 100  # characters of a line of words, and of a table by pairs
NAME_ROOM = 14  # characters that a name gets before columns are left out for it
EDGE = (0, 0, 0, 2)


def print_table(table: Table, console: Console) -> None:
    """Print a table; columns give way until the rest fits, the least needed first, and then names are wrapped."""
    parts, left_out = _parts(table.without_empty_columns(), console)
    notes = [f"- {note}" for note in (parts[0] if len(parts) == 1 else table).notes]
    if left_out:
        keys = ", ".join(column.key for column in left_out)
        notes.append(f"- Not shown for want of room: {keys}. Widen the window, or choose with --columns.")
    above = [Text(f"Table {table.number}. {table.title}", style="bold"), *filter(None, [Text(table.verdict)])]
    below = (Padding(Text(note, style="dim"), EDGE) for note in notes)
    prose = min(console.width, WIDEST)
    console.print(Group(*above), width=prose)
    console.print(Group(*(_fitted_grid(part, console) for part in parts)), width=prose if table.across else None)
    console.print(Group(*below), width=prose)


def _parts(table: Table, console: Console) -> tuple[list[Table], list[Column]]:
    """Return the parts of a table, with as many columns side by side as there is room for, and what is left out."""
    for across in range(table.across or 0, 0, -1):
        parts = replace(table, across=across).blocks()
        if all(_least_width(part, console) <= min(console.width, WIDEST) for part in parts):
            return parts, []
    shown, left_out = fit(table, console)
    return [shown], left_out


def _fitted_grid(table: Table, console: Console) -> Grid:
    grid = _grid(table)
    if _least_width(table, console) > console.width:
        _wrap_everything(grid)
    return grid


def fit(table: Table, console: Console) -> tuple[Table, list[Column]]:
    """Return the table without the columns that a console has no room for, and these columns.

    The first column of numbers stays whatever the width.
    """
    left_out: list[Column] = []
    while _least_width(table, console) > console.width:
        spare = table.columns[table.names + 1 :]
        if not spare:
            break
        least_needed = max(reversed(spare), key=lambda column: column.gives_way)
        left_out.append(least_needed)
        table = table.choose([column.key for column in table.columns[table.names :] if column is not least_needed])
    return table, left_out


def _least_width(table: Table, console: Console) -> int:
    return Measurement.get(console, console.options.update(width=10_000), _grid(table)).minimum


def _grid(table: Table) -> Grid:
    grid = Grid(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for place, (column, lines) in enumerate(zip(table.columns, table.header_lines(), strict=True)):
        width = max(map(len, [*lines, *(row[place].shown for row in table.rows)]))
        _add_column(grid, column, Text("\n".join(lines)), width)
    for group in table.groups():
        for place, row in enumerate(group):
            texts = [_text(cell) for cell in row]
            if table.grouped and place:
                texts[0] = Text("")
            grid.add_row(*texts, end_section=table.grouped and place == len(group) - 1)
    return grid


def _add_column(grid: Grid, column: Column, header: Text, width: int) -> None:
    if column.kind == "name":
        grid.add_column(header, min_width=min(width, NAME_ROOM), overflow="fold")
        return
    justify: Literal["right", "left"] = "right" if column.kind == "number" else "left"
    grid.add_column(header, justify=justify, min_width=width, no_wrap=True)


def _wrap_everything(grid: Grid) -> None:
    for column in grid.columns:
        column.min_width, column.no_wrap, column.overflow = None, False, "fold"


def _text(cell: Cell) -> Text:
    return Text(cell.shown, style="bold" if cell.is_best else "")
