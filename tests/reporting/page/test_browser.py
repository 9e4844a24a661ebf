"""The page in a real browser: it sorts, filters, changes its theme, asks for nothing, and can be read by everyone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.ledger import load_ledger
from benchmark.reporting.page.write import write_page
from benchmark.reporting.report import write_report
from tests.reporting.crowded import write_crowded

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
Open = Callable[..., Any]
QUICK = {"resultTypes": ["violations"]}


@pytest.fixture(scope="module")
def golden_page(page_html: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the golden ledger as a file, and nothing beside it."""
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(page_html, encoding="utf-8")
    return path


@pytest.fixture
def open_page(browser: Any, golden_page: Path) -> Iterator[Open]:
    """A function that opens a page; what it asks for and complains of fails the test."""
    contexts, complaints = [], []

    def open_(path: Path = golden_page, width: int = 1280, *, opened: bool = True, **settings: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **settings)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda asked: asked.url == path.as_uri() or complaints.append(f"asks for {asked.url}"))
        page.goto(path.as_uri())
        if opened:
            page.locator("details.part").evaluate_all("all => all.forEach(one => { one.open = true; })")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def column(page: Any, table: str, place: int) -> list[str]:
    """The texts of a column's cells that can be seen, from the top."""
    cells = page.locator(f"#rows-{table} tbody tr:not([hidden])").all()
    return [row.locator("th, td").nth(place).inner_text() for row in cells]


def test_a_click_sorts_by_the_unrounded_number_and_a_third_restores(open_page: Open) -> None:
    page = open_page()
    before = column(page, "table-2", 3)
    head = page.locator("#rows-table-2 thead th").nth(3)
    values = [float(order) for order in page.locator("#rows-table-2 tbody td:nth-child(4)").evaluate_all(
        "cells => cells.map(cell => cell.dataset.order)")]  # fmt: skip
    for direction, reverse in (("descending", True), ("ascending", False)):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == direction
        shown = [text for _, text in sorted(zip(values, before, strict=True), key=lambda p: p[0], reverse=reverse)]
        assert [text[:5] for text in column(page, "table-2", 3)] == [text[:5] for text in shown]
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "none"
    assert column(page, "table-2", 3) == before


def test_names_sort_by_the_keyboard_from_a_to_z(open_page: Open) -> None:
    page = open_page()
    before = column(page, "table-1", 0)
    page.locator("#rows-table-1 thead button").first.focus()
    page.keyboard.press("Enter")
    assert column(page, "table-1", 0) == sorted(before) != before
    assert page.locator("#rows-table-1 thead th").first.get_attribute("aria-sort") == "ascending"


def test_every_word_of_a_filter_must_stand_in_the_row(open_page: Open) -> None:
    page = open_page()
    rows = len(column(page, "table-2", 0))
    field = page.get_by_label("Filter rows of Table 2", exact=True)
    field.fill("EARLY vgg13")
    found = column(page, "table-2", 0)
    assert set(found) == {"Early fusion"}
    assert 0 < len(found) < rows
    assert page.locator("#count-table-2").inner_text() == f"{len(found)} of {rows} rows"
    field.fill("no such method")
    assert column(page, "table-2", 0) == []
    field.fill("")
    assert len(column(page, "table-2", 0)) == rows


def test_the_theme_follows_the_reader_and_is_kept(open_page: Open) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    page = open_page(color_scheme="dark")
    dark = page.evaluate(paper)
    assert open_page(color_scheme="light").evaluate(paper) != dark
    page.get_by_role("button", name="Light page").click()
    assert page.evaluate(paper) == "rgb(255, 255, 254)"
    page.reload()
    assert page.evaluate(paper) == "rgb(255, 255, 254)"
    assert page.get_by_role("button", name="Dark page").is_visible()


@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
def test_nothing_is_wider_than_the_window(open_page: Open, width: int) -> None:
    assert open_page(width=width).evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_the_first_screen_has_the_answer_and_a_mean_of_every_method(open_page: Open, width: int) -> None:
    page = open_page(width=width, opened=False)
    assert page.evaluate("document.documentElement.scrollHeight") < 3000
    height = 900
    assert page.locator("p.answer").bounding_box()["y"] < 100
    for row in page.locator("#rows-means tbody tr").all():
        name, mean = (row.locator("th, td").nth(place).bounding_box() for place in (0, 1))
        assert name["y"] < height
        assert mean["x"] + mean["width"] <= width
    figure = ".summary-narrow" if width < 640 else "figure .summary"
    assert page.locator(figure).is_visible()
    assert not page.locator("#rows-table-1").is_visible()


def test_sections_open_by_a_click_by_their_address_and_in_print(open_page: Open) -> None:
    page = open_page(opened=False)
    page.get_by_role("heading", name="Is a difference real?").dispatch_event("click")  # wherever the layout puts it
    page.locator("#forest").wait_for(state="visible")
    page.evaluate("location.hash = '#table-5'")
    page.locator("#rows-table-5").wait_for(state="visible")
    shut = "() => document.querySelectorAll('details.part:not([open])').length"
    before = page.evaluate(shut)
    assert before > 3
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(shut) == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(shut) == before


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_axe_finds_no_barrier(open_page: Open, width: int, scheme: str) -> None:
    page = open_page(width=width, color_scheme=scheme)
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
    found = axe.Axe().run(page, context={"exclude": ["svg"]}, options=QUICK)
    assert found.violations_count == 0, found.generate_report()
    passed = {rule["id"] for rule in found.response["passes"]}
    assert {"color-contrast", "button-name", "label", "document-title"} <= passed
    assert width > 1000 or "scrollable-region-focusable" in passed  # a wide page has nothing to scroll


def test_axe_would_find_a_pale_word(open_page: Open) -> None:
    page = open_page()
    page.evaluate("document.querySelector('.answer').style.color = '#cccccc'")
    assert [rule["id"] for rule in axe.Axe().run(page, context="header").response["violations"]] == ["color-contrast"]


def test_without_scripts_everything_is_there(open_page: Open) -> None:
    page = open_page(java_script_enabled=False)
    assert page.get_by_role("heading", name="What ± means").is_visible()
    assert not page.locator("#theme").is_visible()
    assert not page.locator("#filter-table-2").is_visible()


@pytest.mark.slow
def test_ten_seeds_six_pairs_ten_methods(open_page: Open, tmp_path: Path) -> None:
    ledger = load_ledger(write_crowded(tmp_path / "crowded"))
    write_report(ledger, tmp_path)
    path, _ = write_page(ledger, tmp_path)
    assert path.stat().st_size < 3_000_000
    pages = [open_page(path) for _ in range(3)]
    ended = [page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") for page in pages]
    assert 0 < min(ended) < 1000
    page = pages[0]
    assert page.locator("#rows-table-2 tbody tr").count() == 60
    assert page.locator("svg").count() == 13
    assert page.locator("b").count() == 0
