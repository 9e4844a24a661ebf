"""The tables of a report: what is in each, and how any of them is written in Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from tabulate import tabulate

from benchmark.config import UserError, nearest

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
    "±": r"$\pm$",
    "×": r"$\times$",
    "†": r"\textsuperscript{\dag}",
    "*": r"\textsuperscript{*}",
    "–": "--",
}


@dataclass(frozen=True)
class Table:
    """Cells of plain text with what has to be said above and below them.

    Attributes:
        names: how many columns, from the left, hold names; the others hold numbers and are set flush right.
        grouped: whether equal cells of the first column are one group.
    """

    number: int | str
    title: str
    header: list[str]
    body: list[list[str]]
    notes: list[str]
    names: int
    grouped: bool = False


def render(table: Table, table_format: str) -> str:
    """Return a table as text.

    Raises:
        UserError: no such format.
    """
    formats: dict[str, Callable[[Table], str]] = {"markdown": to_markdown, "latex": to_latex}
    if table_format not in formats:
        raise UserError(f"no table format '{table_format}'; {nearest(table_format, list(formats))}")
    return formats[table_format](table)


def to_markdown(table: Table) -> str:
    """Return a table in Markdown: title, rows, notes."""
    body = [[*map(escape_markdown, row[: table.names]), *row[table.names :]] for row in table.body]
    grid = tabulate(body, headers=table.header, tablefmt="pipe", disable_numparse=True)
    notes = "\n".join(f"- {note}" for note in table.notes)
    return f"**Table {table.number}. {table.title}**\n\n{grid}\n\n{notes}\n"


def to_latex(table: Table) -> str:
    """Return a table in LaTeX, to be used with booktabs and multirow."""
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
    groups: list[list[list[str]]] = []
    for row in table.body:
        if groups and (not table.grouped or groups[-1][0][0] == row[0]):
            groups[-1].append(row)
        else:
            groups.append([row])
    return environment.get_template("table.tex").render(table=table, groups=groups)


def escape_latex(text: str) -> str:
    """Write text so that LaTeX prints it as it is."""
    return "".join(SPECIAL_IN_LATEX.get(character, character) for character in text)


def escape_markdown(text: str) -> str:
    """Write text so that Markdown shows it as it is."""
    for character in "\\`*_|<>":
        text = text.replace(character, f"\\{character}")
    return text
