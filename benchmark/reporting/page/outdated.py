"""Tell whether a page is about a ledger as it is now; asked without drawing anything."""

from __future__ import annotations

from pathlib import Path

from benchmark.analysis.freshness import content_key
from benchmark.ledger import Ledger
from benchmark.reporting.figures.titles import remove_figures

PAGE = "index.html"
KEY = "ferfuse-ledger"
HEAD = 4096  # characters within which the key stands


def remove_outdated_page(ledger: Ledger, reports_dir: Path) -> bool:
    """Delete a page, and its figures, that would stand beside newer tables; tell whether there was one."""
    page = reports_dir / ledger.name / PAGE
    if not page.is_file():
        return False
    with page.open(encoding="utf-8", errors="replace") as file:
        if f'name="{KEY}" content="{content_key(ledger)}"' in file.read(HEAD):
            return False
    page.unlink()
    remove_figures(page.parent / "figures")
    return True
