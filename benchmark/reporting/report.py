"""The report of an experiment, in one folder: every table in every format, and the verdicts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmark.config import UserError
from benchmark.ledger import Ledger, write_text
from benchmark.reporting.accuracy import backbone_table, fusion_table
from benchmark.reporting.controls import control_table
from benchmark.reporting.formats import to_latex, to_markdown
from benchmark.reporting.freshness import current_answer
from benchmark.reporting.readings import FAMILY, reading_table
from benchmark.reporting.selection import selection_table
from benchmark.reporting.tables import Table

TABLES: dict[int, Callable[[Ledger], Table]] = {
    1: backbone_table,
    2: fusion_table,
    3: reading_table,
    4: control_table,
    5: selection_table,
}


def make_table(number: int, ledger: Ledger) -> Table:
    """Return a table of a ledger: 1 backbones, 2 fusion methods, 3 readings by evaluation order, 4 controls,
    5 selection optimism.

    Raises:
        UserError: no such table, or the ledger lacks what it is about.
    """
    if number not in TABLES:
        raise UserError(f"there is no table {number}; there are tables 1 to {len(TABLES)}")
    return TABLES[number](ledger)


def write_report(ledger: Ledger, reports_dir: Path, margin: float = 0.5) -> list[Path]:
    """Write tables and verdicts into `reports_dir/<experiment>` and return the paths.

    Args:
        margin: largest difference in percentage points that counts as none.

    Raises:
        UserError: the ledger's runs are incomplete or cannot be compared; nothing is written then.
    """
    from benchmark.reporting.comparisons import Protocol  # with scipy, which tables do without
    from benchmark.reporting.significance import write_significance

    verdicts = write_significance(ledger, reports_dir, Protocol(margin=margin))
    return [*write_tables(ledger, reports_dir), *verdicts]


def write_tables(ledger: Ledger, reports_dir: Path) -> list[Path]:
    """Write `reports_dir/<experiment>/table{1..5}.{md,tex}` and return the paths."""
    folder = reports_dir / ledger.name
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number in available_tables(ledger):
        table = make_table(number, ledger)
        for suffix, text in (("md", to_markdown(table)), ("tex", to_latex(table))):
            path = folder / f"table{number}.{suffix}"
            write_text(path, text)
            written.append(path)
    return written


def refresh_verdicts(ledger: Ledger, reports_dir: Path) -> str:
    """Bring the report's verdicts up to the ledger and return the answer, or why there is none.

    Verdicts of this very ledger stay as they are. Where the ledger allows none, older ones are removed, since they
    would stand beside newer tables.
    """
    folder = reports_dir / ledger.name
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


def available_tables(ledger: Ledger) -> list[int]:
    """Return the numbers of the tables that the ledger has something for."""
    audited = any(finding["method"].partition(":")[0] in FAMILY for finding in ledger.audit)
    controlled = any("partner=shuffled" in str(r.method) or "#" in "".join(r.backbones) for r in ledger.records)
    return [1, 2, *[3] * audited, *[4] * controlled, 5]
