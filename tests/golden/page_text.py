"""The words of the golden page, without drawings, styles and scripts: one line for each thing that is read.

After a wanted change of the page: python -m tests.golden.page_text
"""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from benchmark.ledger import load_ledger
from benchmark.reporting.figures.all_charts import all_charts
from benchmark.reporting.figures.source import Source
from benchmark.reporting.page.write import page_text
from benchmark.reporting.significance import make_significance

HERE = Path(__file__).parent
LINES = {"p", "h1", "h2", "h3", "tr", "li", "dt", "dd", "figcaption", "summary", "pre", "title", "details"}
CELLS = {"th", "td"}
SILENT = {"svg", "style", "script"}


class Words(HTMLParser):
    """Collects the words of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = [""]
        self.silent = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.silent += tag in SILENT
        if tag in LINES:
            self.lines.append("")
        if tag in CELLS:
            self.lines[-1] += " | "

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag in SILENT
        if tag in LINES:
            self.lines.append("")

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.lines[-1] += data


def words_of(page: str) -> str:
    """Return the words of a page, line by line."""
    parser = Words()
    parser.feed(page)
    parser.close()
    lines = (" ".join(line.split()) for line in parser.lines)
    return "\n".join(line for line in lines if line) + "\n"


def main() -> None:
    """Write `small/page.txt`."""
    ledger = load_ledger(HERE / "ledger")
    found = make_significance(ledger)
    page = page_text(ledger, found, all_charts(Source(ledger, found)))
    (HERE / "small" / "page.txt").write_text(words_of(page), encoding="utf-8")


if __name__ == "__main__":
    main()
