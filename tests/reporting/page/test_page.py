"""What stands on the page, and that names and titles are never more than words there.

After a wanted change of the page: python -m tests.golden.page_text
"""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from benchmark.ledger import Ledger, load_ledger
from benchmark.reporting.figures.source import LackingError, Source
from benchmark.reporting.page.cells import page_table, sort_order
from benchmark.reporting.page.outdated import remove_outdated_page
from benchmark.reporting.page.provenance import flat_settings, provenance
from benchmark.reporting.page.write import page_text, script_digest, with_code
from benchmark.reporting.report import TABLES, Kind, make_table, write_tables
from benchmark.reporting.significance import make_significance
from benchmark.reporting.tables import Cell, text_table
from tests.golden.page_text import words_of
from tests.reporting.crowded import ODD_TITLE
from tests.reporting.drawn import FIVE, Rule, draw_runs, write_packed

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
NOTHING = {"forest": LackingError("nothing; `do this` brings it")}


class Elements(HTMLParser):
    """Counts the elements of a page and keeps their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))

    def count(self, tag: str) -> int:
        """How many elements of a kind there are."""
        return sum(name == tag for name, _ in self.found)


def test_words_equal_the_golden_ones(page_html: str) -> None:
    assert words_of(page_html) == (GOLDEN / "small" / "page.txt").read_text(encoding="utf-8")


def test_the_answer_comes_first(page_html: str, source: Source) -> None:
    words = words_of(page_html)
    assert words.index(source.found.answer) < words.index("Table 1.") < words.index("The paper's claims")
    assert "Synthetic data." in words


def test_nothing_on_the_page_is_fetched(page_html: str) -> None:
    fetching = {"src", "srcset", "poster", "data", "action"}
    for tag, attributes in Elements(page_html).found:
        assert not fetching & attributes.keys(), tag
        assert tag not in {"link", "iframe", "object", "embed", "img"}
        for name in ("href", "xlink:href"):
            assert not str(attributes.get(name, "")).startswith(("http", "//", "javascript:", "data:"))
    assert not re.search(r"@import|url\((?!#)", page_html)


def test_scripts_run_by_their_digest_alone(page_html: str) -> None:
    scripts = re.findall(r"<script>(.*?)</script>", page_html, flags=re.DOTALL)
    policy = next(a["content"] for t, a in Elements(page_html).found if t == "meta" and "http-equiv" in a)
    assert len(scripts) == 2
    assert re.findall(r"sha256-[^']+", str(policy)) == [script_digest(script) for script in scripts]
    assert "default-src 'none'" in str(policy)
    assert "unsafe-inline" not in str(policy).partition("script-src")[2]


def odd_ledger(folder: Path) -> Ledger:
    """A ledger whose names and titles try to be markup."""
    rule = Rule(methods=(*FIVE[:2], "own"), seeds=2, backbones=("resnet18", "vgg11"), images=60)
    odd = {"method": ODD_TITLE, "backbones": ["\"><img src=x onerror='alert(2)'>"] * 2}
    runs = [
        (dataclasses.replace(record, titles=odd if record.method == "own" else record.titles), table)
        for record, table in draw_runs(rule)
    ]
    ledger = load_ledger(write_packed(folder, rule, runs))
    ledger.experiment["command"] = "ferfuse reproduce --experiment '</pre><script>alert(3)</script>'"
    ledger.experiment["dataset"]["title"] = "<b>data</b>"
    ledger.experiment["dataset"]["classes"][0] = "</td><td onclick=alert(4)>"
    ledger.experiment["settings"]["profile"] = "<i>profile</i>"
    return ledger


def test_names_and_titles_inject_nothing(tmp_path: Path) -> None:
    ledger = odd_ledger(tmp_path / "odd")
    page = page_text(ledger, make_significance(ledger), NOTHING)
    elements = Elements(page)
    assert (elements.count("script"), elements.count("b"), elements.count("i"), elements.count("img")) == (2, 0, 0, 0)
    assert not [tag for tag, attributes in elements.found if any(name.startswith("on") for name in attributes)]
    words = words_of(page)
    for shown in (
        ODD_TITLE,
        "<b>data</b>",
        "</td><td onclick=alert(4)>",
        "<i>profile</i>",
        "<script>alert(3)</script>",
    ):
        assert shown in words


def test_a_figure_that_is_left_out_says_what_brings_it(page_html: str, source: Source) -> None:
    assert "Figure left out, learning curves: this packed ledger holds no histories" in words_of(page_html)
    page = page_text(source.ledger, source.found, NOTHING)
    assert "differences and verdicts: nothing; <code>do this</code> brings it." in page


def test_a_new_table_is_on_the_page_without_being_named_there(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    made = dataclasses.replace(text_table("Hours: of training", ["Method"], [["Late"]], [], names=1), number=99)
    monkeypatch.setitem(TABLES, 99, Kind(lambda ledger: made))
    page = page_text(source.ledger, source.found, NOTHING)
    assert page.index('id="reasons"') < page.index('id="table-99"') < page.index('id="paper"')
    monkeypatch.setitem(TABLES, 99, Kind(lambda ledger: made, lambda ledger: False))
    assert "table-99" not in page_text(source.ledger, source.found, NOTHING)


def test_what_stands_between_backticks_is_code_and_still_words() -> None:
    assert with_code("a `<b>` & c") == "a <code>&lt;b&gt;</code> &amp; c"


@pytest.mark.parametrize(
    ("cell", "order"),
    [
        (Cell("85.12 ± 0.30", (85.1234567, 0.3)), "85.1234567"),
        (Cell("+3.54", ("+3.54",)), "+3.54"),
        (Cell("< 0.0001", ("< 0.0001",)), "0.0001"),
        (Cell("[-1.20, +3.00]", ("[-1.20, +3.00]",)), "-1.20"),
        (Cell("Late fusion", ("late",)), "Late fusion"),
        (Cell(), ""),
    ],
)
def test_cells_sort_by_their_number(cell: Cell, order: str) -> None:
    assert sort_order(cell) == order


def test_verdicts_carry_the_signs_of_the_forest_plot() -> None:
    words = ["better", "better on this test set", "not compatible", "shown", "better late"]
    table = page_table(text_table("Title: more: of it", ["Verdict"], [[word] for word in words], [], names=0))
    assert [cells[0].sign and cells[0].sign[0] for _, cells in table.rows] == ["▲", "▲", "▼", "▲", None]
    assert (table.heading, table.detail) == ("Title", "more: of it")


def test_rows_keep_what_the_table_says_of_them(source: Source) -> None:
    table = make_table(2, source.ledger, source.found)
    shown = page_table(table)
    assert [[cell.text.replace("\N{NO-BREAK SPACE}", " ") for cell in cells] for _, cells in shown.rows] == [
        [cell.shown.strip() for cell in row] for row in table.without_empty_columns().rows
    ]
    assert sum(begins for begins, _ in shown.rows) == len(table.groups()) - 1
    assert shown.filtered


def test_provenance_names_data_code_and_machine(source: Source) -> None:
    lines = dict(provenance(source.ledger))
    assert lines["Data digest"] == "d" * 32
    assert lines["Runs"].startswith("10 networks and 48 fusion runs")
    assert "Commit" not in lines
    known: dict[str, Any] = {
        **source.ledger.experiment,
        "commit": {"id": "c0ffee", "modified": True},
        "versions": {"torch": "2.15.0"},
    }
    more = dict(provenance(dataclasses.replace(source.ledger, experiment=known)))
    assert more["Commit"] == "c0ffee, with files that differ from it"
    assert more["Versions"] == "torch 2.15.0"


def test_settings_have_the_names_that_set_takes() -> None:
    nested = {"data": {"root": None, "synthetic": {"train": 6}}, "methods": ["late", "early"], "arms": {}}
    assert list(flat_settings(nested)) == [
        ("data.root", "none"), ("data.synthetic.train", "6"), ("methods", "late, early"), ("arms", "none"),
    ]  # fmt: skip


def test_a_page_of_an_earlier_ledger_goes_and_one_of_this_ledger_stays(
    source: Source, page_html: str, tmp_path: Path
) -> None:
    ledger = source.ledger
    page, figures = tmp_path / ledger.name / "index.html", tmp_path / ledger.name / "figures"
    figures.mkdir(parents=True)
    page.write_text(page_html, encoding="utf-8")
    (figures / "forest.svg").write_text("a figure")
    (figures / "mine.txt").write_text("a reader's own")
    write_tables(ledger, tmp_path)
    assert page.is_file()
    assert (figures / "forest.svg").is_file()
    shorter = dataclasses.replace(ledger, records=ledger.records[:-1])
    assert remove_outdated_page(shorter, tmp_path)
    assert [path.name for path in figures.iterdir()] == ["mine.txt"]
    assert not page.exists()
    assert not remove_outdated_page(shorter, tmp_path)
