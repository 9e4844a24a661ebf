"""Tables for the page: what each cell shows, how it is sorted, and which sign stands before a verdict."""

from __future__ import annotations

import re
from dataclasses import dataclass

from benchmark.reporting.tables import Cell, Column, Table

FILTERED_FROM = 8
SIGNS = {
    "better": ("▲", "better"),
    "worse": ("▼", "worse"),
    "practically equal": ("■", "equal"),
    "open": ("○", "open"),
    "not yet": ("○", "open"),
    "possible": ("○", "open"),
    "shown": ("▲", "better"),
    "excluded": ("▼", "worse"),
    "reproduced": ("▲", "better"),
    "compatible": ("○", "open"),
    "not compatible": ("▼", "worse"),
}
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


@dataclass(frozen=True)
class PageCell:
    """What a cell shows; `order` sorts it, a number where it is one; `sign` is a mark and its class."""

    text: str
    order: str
    sign: tuple[str, str] | None
    is_best: bool


@dataclass(frozen=True)
class PageTable:
    """A table of the page. `rows` are pairs of whether a new group begins and the cells."""

    anchor: str
    label: str
    heading: str
    detail: str
    columns: list[Column]
    rows: list[tuple[bool, list[PageCell]]]
    notes: list[str]

    @property
    def filtered(self) -> bool:
        """Whether it is long enough to be filtered."""
        return len(self.rows) >= FILTERED_FROM


def page_table(table: Table) -> PageTable:
    """Return a table as the page shows it; what stands before the first colon of its title is its heading."""
    shown = table.without_empty_columns()
    heading, _, detail = shown.title.partition(": ")
    rows = [
        (table.grouped and place == 0 and number > 0, [_page_cell(cell) for cell in row])
        for number, group in enumerate(shown.groups())
        for place, row in enumerate(group)
    ]
    label = f"Table {table.number}"
    anchor = f"table-{table.number}".lower()
    notes = [*filter(None, [shown.verdict]), *shown.notes]
    return PageTable(anchor, label, heading, detail, shown.columns, rows, notes)


def _page_cell(cell: Cell) -> PageCell:
    words = cell.text.strip()
    sign = next(
        (SIGNS[name] for name in (words, words.partition(" on ")[0], words.partition(" (")[0]) if name in SIGNS), None
    )
    shown = cell.shown.strip().replace(" †", "\N{NO-BREAK SPACE}†")
    return PageCell(shown, sort_order(cell), sign, cell.is_best)


def sort_order(cell: Cell) -> str:
    """Return what a cell is sorted by: its unrounded number, else the first number that it writes, else its words."""
    value = cell.values[0]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    text = cell.text.lstrip("< [")
    found = NUMBER.match(text)
    return found[0] if found else cell.text
