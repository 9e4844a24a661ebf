"""Tables 1 and 2 from the ledger, in Markdown and LaTeX."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from tabulate import tabulate

from benchmark.config import UserError, nearest
from benchmark.ledger import Ledger, Record
from benchmark.reporting.printed import read_paper

TEMPLATES = Path(__file__).parent / "templates"
SELECTION = "validation_selected"
PAPER_METHODS = ("late", "early", "joint", "attention-fusion", "attention-fusion-without-local")


@dataclass(frozen=True)
class Row:
    """One line: what was run, its accuracy over seeds in percent, and what the paper prints for it.

    Attributes:
        group: title of the method, or None in a table of backbones.
        names: titles of the backbones.
        mean, sd: of test accuracy in percent; sd is the sample standard deviation (ddof = 1), None for one seed.
        n: number of seeds.
        printed: the paper's number as it prints it, None where it has none.
        batch_dependent: whether the method says that its predictions depend on the rest of the batch.
    """

    group: str | None
    names: tuple[str, ...]
    mean: float
    sd: float | None
    n: int
    printed: str | None
    batch_dependent: bool = False


@dataclass(frozen=True)
class Table:
    """Rows with what has to be said above and below them."""

    number: int
    title: str
    rows: list[Row]
    notes: list[str]
    comparable: bool


def make_table(number: int, ledger: Ledger) -> Table:
    """Return Table 1 (backbones) or Table 2 (fusion methods) of a ledger.

    Raises:
        UserError: no such table.
    """
    makers: dict[int, Callable[[Ledger], list[Row]]] = {1: _backbone_rows, 2: _fusion_rows}
    if number not in makers:
        raise UserError(f"there is no table {number}; this version prints tables 1 and 2")
    rows = makers[number](ledger)
    data = ledger.experiment["dataset"]
    comparable = data["name"] == read_paper().dataset
    return Table(number, _title(number, ledger, rows), rows, _notes(ledger, rows, comparable), comparable)


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
    header = ["Accuracy (%)", "n", "Paper (%)"]
    branches = max((len(row.names) for row in table.rows), default=1)
    if table.number == 1:
        header = ["Model", *header]
    else:
        header = ["Fusion method", *(f"Model {i + 1}" for i in range(branches)), *header]
    lines = [_markdown_cells(table, row, branches) for row in table.rows]
    grid = tabulate(lines, headers=header, tablefmt="pipe", disable_numparse=True)
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
    groups: dict[str | None, list[Row]] = {}
    for row in table.rows:
        groups.setdefault(row.group, []).append(row)
    branches = max((len(row.names) for row in table.rows), default=1)
    return environment.get_template("table.tex").render(table=table, groups=groups, branches=branches)


def escape_latex(text: str) -> str:
    """Write text so that LaTeX prints it as it is."""
    special = {
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
    }
    return "".join(special.get(character, character) for character in text)


def _markdown_cells(table: Table, row: Row, branches: int) -> list[str]:
    spread = f" ± {row.sd:.2f}" if row.sd is not None else ""
    mark = " †" if row.batch_dependent else ""
    paper = row.printed or ""
    if paper and not table.comparable:
        paper += " *"
    cells = [f"{row.mean:.2f}{spread}{mark}", str(row.n), paper]
    names = [*map(_escape_markdown, row.names), *[""] * (branches - len(row.names))]
    return [*names, *cells] if row.group is None else [_escape_markdown(row.group), *names, *cells]


def _escape_markdown(text: str) -> str:
    for character in "\\`*_|<>":
        text = text.replace(character, f"\\{character}")
    return text


def _backbone_rows(ledger: Ledger) -> list[Row]:
    paper = read_paper()
    found: dict[str, list[Record]] = {}
    for record in ledger.of_kind("backbone"):
        found.setdefault(record.backbones[0], []).append(record)
    order = _order(found, list(paper.backbones))
    return [_row(found[name], None, paper.backbones.get(name)) for name in order]


def _fusion_rows(ledger: Ledger) -> list[Row]:
    paper = read_paper()
    found: dict[tuple[str, tuple[str, ...]], list[Record]] = {}
    for record in ledger.of_kind("fusion"):
        found.setdefault((str(record.method), tuple(record.backbones)), []).append(record)
    listed = ledger.experiment["settings"]["methods"]
    methods = _order(dict.fromkeys(method for method, _ in found), [*PAPER_METHODS, *listed])
    groups = _order(dict.fromkeys(group for _, group in found), paper.pairs, key=frozenset)
    return [
        _row(found[method, group], method, paper.fusion.get((method, frozenset(group))))
        for method in methods
        for group in groups
        if (method, group) in found
    ]


def _order(items: Any, first: Sequence[Any], key: Callable[[Any], Any] = lambda item: item) -> list[Any]:
    """Return items in the order of `first`, those it does not hold after them as they come."""
    rank = {item: position for position, item in enumerate(first)}
    return sorted(items, key=lambda item: rank.get(key(item), len(rank)))


def _row(records: Sequence[Record], method: str | None, printed: str | None) -> Row:
    accuracy = [100 * record.metrics[SELECTION]["accuracy"] for record in records]
    titles = records[0].titles
    return Row(
        group=None if method is None else titles["method"],
        names=tuple(titles["backbones"]),
        mean=statistics.fmean(accuracy),
        sd=statistics.stdev(accuracy) if len(accuracy) > 1 else None,
        n=len(accuracy),
        printed=printed,
        batch_dependent=any(record.batch_dependent for record in records),
    )


def _title(number: int, ledger: Ledger, rows: Sequence[Row]) -> str:
    what = {1: "Backbones alone", 2: "Fusion methods"}[number]
    data = ledger.experiment["dataset"]
    profile = ledger.experiment["settings"]["profile"]
    counts = sorted({row.n for row in rows})
    seeds = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}" if counts else "0"
    images = sum(data["images"]["test"])
    return (
        f"{what}: test accuracy on {_data_name(data)} ({images} test images), "
        f"profile {profile}, {seeds} seed{'s' if seeds != '1' else ''}, epoch selected on validation"
    )


def _data_name(data: dict[str, Any]) -> str:
    return f"{data['title']} (SYNTHETIC, drawn images)" if data["synthetic"] else str(data["title"])


def _notes(ledger: Ledger, rows: Sequence[Row], comparable: bool) -> list[str]:
    notes = ["± is the sample standard deviation over n seeds (ddof = 1), not an interval."]
    if not comparable and any(row.printed for row in rows):
        data = ledger.experiment["dataset"]
        notes.append(f"* The paper's number is about RAF-DB; it cannot be compared with one on {data['title']}.")
    if any(row.batch_dependent for row in rows):
        notes.append("† Each prediction depends on the other images of its batch; evaluated in file order.")
    return notes
