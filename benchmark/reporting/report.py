"""The report of an experiment: every table in every format, in one folder."""

from __future__ import annotations

from pathlib import Path

from benchmark.ledger import Ledger, write_text
from benchmark.reporting.readings import FAMILY
from benchmark.reporting.tables import make_table, to_latex, to_markdown


def write_report(ledger: Ledger, reports_dir: Path) -> list[Path]:
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


def available_tables(ledger: Ledger) -> list[int]:
    """Return the numbers of the tables that the ledger has something for."""
    audited = any(finding["method"].partition(":")[0] in FAMILY for finding in ledger.audit)
    controlled = any("partner=shuffled" in str(r.method) or "#" in "".join(r.backbones) for r in ledger.records)
    return [1, 2, *[3] * audited, *[4] * controlled, 5]
