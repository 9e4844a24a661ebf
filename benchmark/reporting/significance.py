"""Write the verdicts on a ledger: `significance.json` for tools, `significance.md` for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.analysis.report import analyse
from benchmark.ledger import Ledger, write_json, write_text
from benchmark.reporting.pages import significance_page
from benchmark.reporting.wording import answer_sentence

FILES = ("significance.md", "significance.json")


def make_significance(ledger: Ledger) -> dict[str, Any]:
    """Return what `significance.json` holds: the analysis of a ledger, and the answer in words.

    Raises:
        UserError: the ledger's runs are incomplete, damaged or cannot be compared.
    """
    found = analyse(ledger)
    return {**found, "answer": answer_sentence(found)}


def write_significance(ledger: Ledger, reports_dir: Path) -> list[Path]:
    """Write `reports_dir/<experiment>/significance.{md,json}` and return the paths.

    Raises:
        UserError: see `make_significance`; nothing is written then.
    """
    found = make_significance(ledger)
    folder = reports_dir / ledger.name
    folder.mkdir(parents=True, exist_ok=True)
    page, values = (folder / name for name in FILES)
    write_text(page, significance_page(found))
    write_json(values, found)
    return [page, values]
