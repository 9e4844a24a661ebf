"""The report of an experiment: every table in every format, in one folder."""

from __future__ import annotations

from pathlib import Path

from benchmark.ledger import Ledger, write_text
from benchmark.reporting.tables import make_table, to_latex, to_markdown


def write_report(ledger: Ledger, reports_dir: Path) -> list[Path]:
    """Write `reports_dir/<experiment>/table{1,2}.{md,tex}` and return the paths."""
    folder = reports_dir / ledger.name
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number in (1, 2):
        table = make_table(number, ledger)
        for suffix, text in (("md", to_markdown(table)), ("tex", to_latex(table))):
            path = folder / f"table{number}.{suffix}"
            write_text(path, text)
            written.append(path)
    return written
