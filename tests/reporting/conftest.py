"""The golden ledger with its verdicts, its figures and its page, made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmark.ledger import load_ledger
from benchmark.reporting.figures.all_charts import all_charts
from benchmark.reporting.figures.source import Source
from benchmark.reporting.figures.summary import summary_charts
from benchmark.reporting.page.write import page_text
from benchmark.reporting.significance import make_significance

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture(scope="session")
def source() -> Source:
    """The golden ledger and its report."""
    ledger = load_ledger(GOLDEN / "ledger")
    return Source(ledger, make_significance(ledger))


@pytest.fixture(scope="session")
def charts(source: Source) -> dict[str, Any]:
    """All figures of the golden ledger; not to be changed."""
    return all_charts(source)


@pytest.fixture(scope="session")
def page_html(source: Source, charts: dict[str, Any]) -> str:
    """The page of the golden ledger."""
    return page_text(source.ledger, source.found, {**charts, **summary_charts(source)})
