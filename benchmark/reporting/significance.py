"""Write the verdicts on a ledger: `significance.json` for tools, `significance.md` for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark.analysis.analyse import analyse
from benchmark.analysis.report import PrintedElsewhere, Report
from benchmark.ledger import Ledger, write_json, write_text
from benchmark.reporting.pages import significance_page
from benchmark.reporting.wording import answer_sentence

FILES = ("significance.md", "significance.json")


def make_significance(ledger: Ledger, beside: Sequence[PrintedElsewhere] = ()) -> Report:
    """Return the report of a ledger, with the answer in words.

    Args:
        beside: printed numbers of others, for Table 2; see `beside.read_beside`.

    Raises:
        UserError: the ledger's runs are incomplete, damaged or cannot be compared.
    """
    found = analyse(ledger)
    added = {"beside": list(beside)} if beside else {}
    return found.model_copy(update={**added, "answer": answer_sentence(found)})


def write_significance(ledger: Ledger, reports_dir: Path, beside: Sequence[PrintedElsewhere] = ()) -> list[Path]:
    """Write `reports_dir/<experiment>/significance.{md,json}` and return the paths.

    Raises:
        UserError: see `make_significance`; nothing is written then.
    """
    found = make_significance(ledger, beside)
    folder = reports_dir / ledger.name
    folder.mkdir(parents=True, exist_ok=True)
    page, values = (folder / name for name in FILES)
    write_text(page, significance_page(found))
    write_json(values, found.to_json())
    return [page, values]
