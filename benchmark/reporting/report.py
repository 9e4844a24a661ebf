"""The report of an experiment, in one folder: every table in every format, and the verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.analysis.facts import may_be_read
from benchmark.analysis.freshness import current_answer, current_report
from benchmark.analysis.paper import read_paper
from benchmark.analysis.report import PrintedElsewhere, Report
from benchmark.config import UserError, nearest
from benchmark.ledger import Ledger, write_text
from benchmark.reporting.accuracy import backbone_table, fusion_table
from benchmark.reporting.beside import with_beside
from benchmark.reporting.by_pair import by_pair
from benchmark.reporting.controls import control_table
from benchmark.reporting.ensembles import ensemble_table
from benchmark.reporting.formats import render
from benchmark.reporting.judgement import FAMILY_OF, with_verdicts
from benchmark.reporting.page.outdated import remove_outdated_page
from benchmark.reporting.readings import reading_table
from benchmark.reporting.selection import selection_table
from benchmark.reporting.tables import Table
from benchmark.reporting.transfer import transfer_table


@dataclass(frozen=True)
class Kind:
    """How a table is made from a ledger, and whether the report of a ledger has it."""

    make: Callable[[Ledger], Table]
    in_report: Callable[[Ledger], bool] = lambda ledger: True


def _is_audited(ledger: Ledger) -> bool:
    return any(may_be_read(finding["method"]) for finding in ledger.audit)


def _has_controls(ledger: Ledger) -> bool:
    return any(read_paper().control in str(r.method) or "#" in "".join(r.backbones) for r in ledger.records)


TABLES: dict[int, Kind] = {
    1: Kind(backbone_table),
    2: Kind(fusion_table),
    3: Kind(reading_table, _is_audited),
    4: Kind(control_table, _has_controls),
    5: Kind(selection_table),
    6: Kind(ensemble_table, lambda ledger: False),  # it takes seconds: `ferfuse table 6` alone makes it
    7: Kind(transfer_table, lambda ledger: bool(ledger.transfers)),
}
MACHINES = ("csv", "json")  # formats that get every number, a line for each
SUFFIXES = {"md": "markdown", "tex": "latex", "csv": "csv", "json": "json"}


LAYOUTS = ("pairs", "long")


def make_table(number: int, ledger: Ledger, found: Report | None = None, layout: str = "long") -> Table:
    """Return a table of a ledger: 1 backbones, 2 fusion methods, 3 readings by evaluation order, 4 controls,
    5 selection optimism, 6 what single networks give together without training, 7 all of them on other data sets.

    Args:
        found: the report of the ledger, for the verdicts in Tables 1 and 2; see `current_verdicts`.
        layout: of Table 2: "long" has a line for every method and pair, "pairs" a column for every pair.

    Raises:
        UserError: no such table or layout, or the ledger lacks what it is about.
    """
    if number not in TABLES:
        raise UserError(f"there is no table {number}; there are tables 1 to {len(TABLES)}")
    if layout not in LAYOUTS:
        raise UserError(f"no layout '{layout}'; {nearest(layout, LAYOUTS)}")
    table = replace(TABLES[number].make(ledger), experiment=ledger.name)
    if number in FAMILY_OF:
        table = with_verdicts(table, found)
    if number == 2 and found and found.beside:
        table = with_beside(table, found.beside)
    return by_pair(table, ledger, found) if number == 2 and layout == "pairs" else table


def current_verdicts(ledger: Ledger, reports_dir: Path) -> Report | None:
    """Return the verdicts that the report of an experiment holds, None where they are not of this very ledger."""
    return current_report(ledger, reports_dir / ledger.name / "significance.json")


def write_report(ledger: Ledger, reports_dir: Path, beside: Sequence[PrintedElsewhere] = ()) -> list[Path]:
    """Write tables and verdicts into `reports_dir/<experiment>` and return the paths.

    Raises:
        UserError: the ledger's runs are incomplete or cannot be compared; nothing is written then.
    """
    from benchmark.reporting.significance import write_significance  # with scipy.stats, which tables do without

    verdicts = write_significance(ledger, reports_dir, beside)
    return [*write_tables(ledger, reports_dir), *verdicts]


def write_tables(ledger: Ledger, reports_dir: Path) -> list[Path]:
    """Write `reports_dir/<experiment>/table{1..7}.{md,tex,csv,json}`, with the verdicts there, and return the paths."""
    folder = reports_dir / ledger.name
    folder.mkdir(parents=True, exist_ok=True)
    found = current_verdicts(ledger, reports_dir)
    remove_outdated_page(ledger, reports_dir)
    written = []
    for number in available_tables(ledger):
        for suffix, table_format in SUFFIXES.items():
            layout = "long" if table_format in MACHINES else "pairs"
            path = folder / f"table{number}.{suffix}"
            write_text(path, render(make_table(number, ledger, found, layout), table_format))
            written.append(path)
    return written


def refresh_verdicts(ledger: Ledger, reports_dir: Path) -> str:
    """Bring the report's verdicts up to the ledger and return the answer, or why there is none.

    Verdicts of this very ledger stay as they are. Where the ledger allows none, older ones are removed, since they
    would stand beside newer tables.
    """
    folder = reports_dir / ledger.name
    with suppress(UserError):  # damaged verdicts are made again
        answer = current_answer(ledger, folder / "significance.json")
        if answer is not None:
            return answer
    from benchmark.reporting.significance import FILES, write_significance

    try:
        write_significance(ledger, reports_dir)
    except UserError as error:
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        return f"No verdicts: {error}"
    return str(current_answer(ledger, folder / "significance.json"))


def write_document(ledger: Ledger, reports_dir: Path) -> Path:
    """Write `reports_dir/<experiment>/report.pdf` from a ledger whose verdicts are written, and return its path.

    Raises:
        UserError: there is no pdflatex, or it lacks a package.
    """
    from benchmark.reporting.document import write_pdf

    found = current_verdicts(ledger, reports_dir)
    assert found is not None
    tables = [make_table(number, ledger, found, "pairs") for number in available_tables(ledger)]
    return write_pdf(ledger, found, tables, reports_dir / ledger.name)


def available_tables(ledger: Ledger) -> list[int]:
    """Return the numbers of the tables that the ledger has something for."""
    return [number for number, kind in TABLES.items() if kind.in_report(ledger)]
