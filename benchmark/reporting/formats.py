"""A table as text: Markdown and LaTeX for people, CSV and JSON for machines."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.config import UserError, nearest
from benchmark.reporting.tables import Cell, Column, Table, Value

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
SPECIAL_IN_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "`": r"\`{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≈": r"$\approx$",
    "†": r"$^{\dagger}$",
    "*": r"\textsuperscript{*}",
    "–": "--",
    "—": "---",
    "−": "$-$",
    "’": "'",
    "…": r"\dots{}",
    "→": r"$\to$",
    "⊗": r"$\otimes$",
}
MINUS = re.compile(r"(?<![\w)])-(?=\d)")
ACCENTS = frozenset("\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327")
LIGATURES = "ßæÆøØœŒłŁ"
LAST_LATIN = "\u017f"
GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon "
    "phi chi psi omega"
)
SPECIAL_IN_MARKDOWN = "\\`*_|<>&$[]~"
SPANNED = r"\multicolumn{2}{c}{%s}"
ROWS_ON_A_PAGE = 42
TEXT_WIDTH, NAME_ROOM = 345, 80  # points: the text of LNCS, the narrowest, and what names get of it at least
LETTER, DIGIT, BOLD, BETWEEN = 4.1, 4.3, 5, 21  # points at 8 pt; the last: signs and spaces of a mean ± deviation


def render(table: Table, table_format: str) -> str:
    """Return a table as text.

    Raises:
        UserError: no such format.
    """
    formats: dict[str, Callable[[Table], str]] = {
        "markdown": to_markdown,
        "latex": to_latex,
        "csv": to_csv,
        "json": to_json,
    }
    if table_format not in formats:
        raise UserError(f"no table format '{table_format}'; {nearest(table_format, list(formats))}")
    return formats[table_format](table)


def to_markdown(table: Table) -> str:
    """Return a table in Markdown: title, rows, notes."""
    from tabulate import tabulate  # CSV and JSON do without

    def grid(part: Table) -> str:
        body = [
            [_in_markdown(cell, column.kind == "name") for cell, column in zip(row, part.columns, strict=True)]
            for row in part.rows
        ]
        aligned = ["right" if column.kind == "number" else "left" for column in part.columns]
        header = [escape_markdown(title) for title in part.header]
        return tabulate(body, headers=header, tablefmt="pipe", disable_numparse=True, colalign=aligned)

    shown = table.without_empty_columns()
    notes = "\n".join(f"- {escape_markdown(note)}" for note in shown.notes)
    head = [f"**Table {table.number}. {escape_markdown(table.title)}**", escape_markdown(table.verdict)]
    return "\n\n".join(filter(None, [*head, *map(grid, shown.blocks()), notes])) + "\n"


def to_latex(table: Table) -> str:
    """Return a table in LaTeX, for a document that loads booktabs, multirow and graphicx, or booktabs and siunitx.

    One with `across` is 8 pt high and fits a text 122 mm wide. Of the others, what is wider than the text is scaled
    down to it, and what is longer than a page goes on in a second table of the same number, cut between groups.
    """
    shown = table.without_empty_columns()
    label = "tab:" + re.sub("[^A-Za-z0-9]+", "-", f"ferfuse-{table.experiment}-{table.number}")
    if table.across:
        text = latex_environment().get_template("by-pair.tex")
        return text.render(table=shown, label=label, blocks=_latex_blocks(shown))
    headings = list(map(_heading, shown.columns, shown.header_lines()))
    pages = _pages(shown)
    return (
        latex_environment().get_template("table.tex").render(table=shown, label=label, pages=pages, headings=headings)
    )


def latex_environment() -> Environment:
    """Return how templates of LaTeX are filled in: `<% %>` and `<< >>`, which LaTeX does not use itself."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # the other formats do without

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        undefined=StrictUndefined,
    )
    environment.filters["latex"] = escape_latex
    environment.filters["cell"] = _in_latex
    return environment


def to_csv(table: Table) -> str:
    """Return the unrounded values of a table's cells, with a column for each of their fields."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [name for column in table.columns for name in column.fields], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _no_formula(value) for name, value in row.items()} for row in _values(table))
    return text.getvalue()


def _no_formula(value: Value) -> Value:
    """Keep a spreadsheet from computing a name that begins like a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "@") else value


def to_json(table: Table) -> str:
    """Return a table with the unrounded values of its cells by the names of their fields."""
    found = {
        "table": table.number,
        "title": table.title,
        "verdict": table.verdict,
        "notes": table.notes,
        "columns": [{"key": c.key, "title": c.title, "fields": c.fields} for c in table.columns],
        "rows": _values(table),
    }
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def escape_latex(text: str) -> str:
    """Write text so that LaTeX prints it as it is; a letter that its usual fonts lack is named by its code."""
    return "".join(_latex_character(character) for character in " ".join(text.split()))


def escape_markdown(text: str) -> str:
    """Write text so that Markdown shows it as it is."""
    return "".join(f"\\{c}" if c in SPECIAL_IN_MARKDOWN else c for c in " ".join(text.split()))


def _latex_character(character: str) -> str:
    if character in SPECIAL_IN_LATEX:
        return SPECIAL_IN_LATEX[character]
    parts = unicodedata.normalize("NFD", character)
    has_glyph = parts[0].isascii() and parts[0].isprintable() and ACCENTS.issuperset(parts[1:])
    if character in LIGATURES or (has_glyph and character <= LAST_LATIN):
        return character
    letter = unicodedata.name(character, "").removeprefix("GREEK SMALL LETTER ").lower().replace("lamda", "lambda")
    return f"$\\{letter}$" if letter in GREEK.split() else f"[U+{ord(character):04X}]"


def _in_markdown(cell: Cell, is_name: bool) -> str:
    text = escape_markdown(cell.text) if is_name else cell.text
    return " ".join(filter(None, [f"**{text}**" if cell.is_best else text, *cell.marks]))


def _in_latex(cell: Cell) -> str:
    text = MINUS.sub("$-$", escape_latex(cell.text))
    text = f"{{}}{text}" if text.startswith("[") else text  # the \\ before would take it as its option
    return " ".join(filter(None, [rf"\textbf{{{text}}}" if cell.is_best else text, *map(escape_latex, cell.marks)]))


def _latex_blocks(table: Table) -> list[dict[str, Any]]:
    """Return the tabulars of means ± deviations, as many columns in each as leave room for the names."""
    for across in range(table.across or 1, 0, -1):
        blocks = replace(table, across=across).blocks()
        if all(_name_room(block) >= NAME_ROOM for block in blocks):
            break
    return [_latex_block(block) for block in blocks]


def _name_room(table: Table) -> float:
    """Return what the numbers leave to the names, in points."""
    digit = BOLD if any(cell.is_best for row in table.rows for cell in row) else DIGIT
    used = sum(BETWEEN + digit * (sum(_before(table, place)) + 4) for place in range(1, len(table.columns)))
    return TEXT_WIDTH - used


def _before(table: Table, place: int) -> list[int]:
    """Return how many digits the means of a column and their deviations have before the point."""
    texts = [row[place].text.partition(" ± ") for row in table.rows]
    return [max((len(text[part].partition(".")[0]) or 1 for text in texts), default=1) for part in (0, 2)]


def _latex_block(table: Table) -> dict[str, Any]:
    """Return what stands in a tabular of means ± deviations: its column types, and its lines of cells.

    A mean and its deviation are two columns that siunitx aligns; one without the other spans both.
    """
    room, longest = _name_room(table), LETTER * max((len(row[0].shown) for row in table.rows), default=0)
    types = ["l" if longest <= room else rf">{{\raggedright\arraybackslash}}p{{{room:.0f}pt}}"]
    for place in range(1, len(table.columns)):
        mean, deviation = _before(table, place)
        types.append(rf"S[table-format={mean}.2]@{{\,$\pm$\,}}S[table-format={deviation}.2]")
    heads = [SPANNED % rf"\shortstack{{{_over_lines(column.title)}}}" for column in table.columns[1:]]
    return {
        "columns": "".join(types),
        "headings": [escape_latex(table.header[0]), *heads],
        "rows": [[_in_latex(row[0]), *map(_latex_number, row[1:])] for row in table.rows],
    }


def _latex_number(cell: Cell) -> str:
    bold = r"\bfseries " * cell.is_best
    mean, _, deviation = cell.text.partition(" ± ")
    return f"{bold}{mean} & {bold}{deviation}" if deviation else SPANNED % (bold + mean)


def _over_lines(title: str) -> str:
    """Return the networks of a pair one below the other."""
    return r" \\ ".join(map(escape_latex, re.split(r"(?<= \+) ", title)))


def _heading(column: Column, lines: list[str]) -> str:
    """Return the words above a column, the last line beside those of the other columns."""
    text = r" \\ ".join(map(escape_latex, lines))
    return text if len(lines) == 1 else rf"\shortstack[{'r' if column.kind == 'number' else 'l'}]{{{text}}}"


def _values(table: Table) -> list[dict[str, Value]]:
    return [
        {
            name: value
            for column, cell in zip(table.columns, row, strict=True)
            for name, value in zip(column.fields, cell.values, strict=True)
        }
        for row in table.rows
    ]


def _pages(table: Table) -> list[list[list[list[Cell]]]]:
    """Return the groups of rows by the pages that hold them; a group longer than a page is cut."""
    pages: list[list[list[list[Cell]]]] = [[]]
    room = ROWS_ON_A_PAGE
    for group in table.groups():
        for part in (group[i : i + ROWS_ON_A_PAGE] for i in range(0, len(group), ROWS_ON_A_PAGE)):
            if len(part) > room:
                pages.append([])
                room = ROWS_ON_A_PAGE
            pages[-1].append(part)
            room -= len(part)
    return pages
