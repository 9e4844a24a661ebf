"""What a table is: columns and cells, each cell with its words and with the numbers that they round.

Markdown, LaTeX, CSV, JSON, the terminal and the page are all written from this one structure: see `formats`.
"""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Literal

from benchmark.config import UserError, nearest

Value = float | int | str | bool | None
# how the notes on a column begin, which stand only where their column does
NOTES_OF = {"interval": "The 95 % interval", "milliseconds": "Milliseconds per image"}
BATCH, OTHER_DATA = "†", "*"


@dataclass(frozen=True)
class Cell:
    """One place of a table.

    Attributes:
        text: what is read there, rounded, without its marks; may be empty.
        values: the same for machines, unrounded: one for each of the column's `fields`, None where there is none.
        marks: signs that follow the text and that the table's notes explain.
        is_best: whether the statistics say that nothing beside it is as good; set in bold.
    """

    text: str = ""
    values: tuple[Value, ...] = (None,)
    marks: tuple[str, ...] = ()
    is_best: bool = False

    @property
    def shown(self) -> str:
        """Text with its marks."""
        return " ".join([self.text, *self.marks])


@dataclass(frozen=True)
class Column:
    """What the cells of a column are about.

    Attributes:
        key: what `--columns` calls it.
        title: the words above it.
        fields: names of its cells' values in CSV and JSON; its key where there is one value.
        kind: "name" says what a line is about, stands on the left and is always shown; "number" is set flush right.
        gives_way: columns with a higher number are left out first where a terminal is too narrow; 0 never is.
    """

    key: str
    title: str
    fields: tuple[str, ...] = ()
    kind: Literal["name", "number", "word"] = "number"
    gives_way: int = 0

    def __post_init__(self) -> None:
        if not self.fields:
            object.__setattr__(self, "fields", (self.key,))


@dataclass(frozen=True)
class Table:
    """Lines of cells with what has to be said above and below them.

    Attributes:
        rows: a cell for every column.
        notes: sentences below the table.
        grouped: whether equal cells of the first column are one group.
        caption: the short one that LaTeX has; the title where there is none.
        verdict: the sentence that stands above the rows.
        experiment: whose it is, for LaTeX's label.
        across: how many columns of numbers stand side by side, further ones below them; all where it is None.
    """

    number: int | str
    title: str
    columns: list[Column]
    rows: list[list[Cell]]
    notes: list[str] = field(default_factory=list)
    grouped: bool = False
    caption: str = ""
    verdict: str = ""
    experiment: str = ""
    across: int | None = None

    @property
    def header(self) -> list[str]:
        """The words above the columns."""
        return [column.title for column in self.columns]

    @property
    def names(self) -> int:
        """How many columns, from the left, hold names."""
        return sum(column.kind == "name" for column in self.columns)

    def place(self, key: str) -> int:
        """Return where a column stands."""
        return next(place for place, column in enumerate(self.columns) if column.key == key)

    def blocks(self) -> list[Table]:
        """Return the table in parts that stand one below the other, each with the names and some of the numbers."""
        places = range(self.names, len(self.columns))
        if self.across is None or len(places) <= self.across:
            return [self]
        size = ceil(len(places) / ceil(len(places) / self.across))
        return [self._at([*range(self.names), *places[start : start + size]]) for start in range(0, len(places), size)]

    def header_lines(self) -> list[list[str]]:
        """Return the words above each column in lines that are no longer than its longest cell, or word."""
        found = []
        for place, column in enumerate(self.columns):
            words = column.title.split() or [""]
            longest = max([*map(len, words), *(len(row[place].shown) for row in self.rows)])
            found.append(textwrap.wrap(column.title, longest) or [""])
        return found

    def groups(self) -> list[list[list[Cell]]]:
        """Return the rows in groups; one group where the table has none."""
        found: list[list[list[Cell]]] = []
        for row in self.rows:
            if found and (not self.grouped or found[-1][0][0].text == row[0].text):
                found[-1].append(row)
            else:
                found.append([row])
        return found

    def choose(self, keys: Sequence[str]) -> Table:
        """Return the table with these columns, in this order, after those that hold names.

        Raises:
            UserError: the table has no such column.
        """
        places = {column.key: place for place, column in enumerate(self.columns) if column.kind != "name"}
        for key in keys:
            if key not in places:
                raise UserError(f"Table {self.number} has no column '{key}'; {nearest(key, list(places))}")
        return self._at([*range(self.names), *(places[key] for key in dict.fromkeys(keys))])

    def without_empty_columns(self) -> Table:
        """Return the table without the columns that say nothing in any row."""
        filled = [
            place
            for place, column in enumerate(self.columns)
            if column.kind == "name" or any(row[place].text for row in self.rows)
        ]
        return self._at(filled)

    def _at(self, places: Sequence[int]) -> Table:
        """Keep some columns; a note on a mark or a column that is not there any more goes with the others."""
        rows = [[row[place] for place in places] for row in self.rows]
        gone = {mark for row in self.rows for cell in row for mark in cell.marks}
        gone -= {mark for row in rows for cell in row for mark in cell.marks}
        shown = {self.columns[place].key for place in places}
        about = tuple(words for key, words in NOTES_OF.items() if key not in shown)
        notes = [note for note in self.notes if note[:1] not in gone and not note.startswith(about)]
        return replace(self, columns=[self.columns[place] for place in places], rows=rows, notes=notes)


def text_table(title: str, header: Sequence[str], body: Sequence[Sequence[str]], notes: list[str], names: int) -> Table:
    """Return a table of words that are already written; the first `names` columns hold names."""
    columns = [Column(title, title, kind="name" if place < names else "number") for place, title in enumerate(header)]
    return Table("", title, columns, [[name_cell(text) for text in row] for row in body], notes)


def name_cell(text: str, *names: str, marks: Sequence[str] = ()) -> Cell:
    """Return a cell of words; `names` are what machines read, the words themselves where there are none."""
    return Cell(text, names or (text,), tuple(marks))


def number_cell(value: float | None, form: str) -> Cell:
    """Return a cell of one number, written by a format specification; empty where there is none."""
    return Cell() if value is None else Cell(format(value, form), (value,))


def spread_cell(values: Sequence[float], marks: Sequence[str] = (), form: str = ".2f") -> Cell:
    """Return a cell of mean ± sample standard deviation, the mean alone where there is one value."""
    if not values:
        return Cell("", (None, None))
    mean, sd = mean_and_sd(values)
    text = " ± ".join(format(value, form) for value in (mean, sd) if value is not None)
    return Cell(text, (mean, sd), tuple(marks))


def spread_column(key: str, title: str) -> Column:
    """Return the column of such cells."""
    return Column(key, title, (key, f"{key}_sd"))


def mean_and_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Return mean and sample standard deviation (ddof = 1), None for one value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None
