"""Figures show the numbers that they are given, in files that are the same each time and colours that can be told."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from benchmark.reporting.figures import style
from benchmark.reporting.figures.all_charts import CHARTS, all_charts
from benchmark.reporting.figures.cost import cost_chart, front, models
from benchmark.reporting.figures.forest import Block, Line, draw_forest, family_blocks, forest_chart
from benchmark.reporting.figures.saving import page_svg, save_charts, save_figure
from benchmark.reporting.figures.source import LackingError, Source
from benchmark.reporting.figures.style import Chart, drawn, marks
from benchmark.reporting.figures.titles import TITLES
from tests.reporting.crowded import ODD_TITLE

WRITE = """
import sys
from itertools import pairwise
from pathlib import Path
from benchmark.analysis.report import Report
from benchmark.ledger import load_ledger
from benchmark.reporting.figures.forest import forest_chart
from benchmark.reporting.figures.saving import save_figure
from benchmark.reporting.figures.source import Source
found = Report.model_validate_json(Path(sys.argv[2]).read_text())
save_figure(forest_chart(Source(load_ledger(Path(sys.argv[1])), found)).figure, Path(sys.argv[3]), "forest")
"""
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def forest(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the forest plot's files."""
    folder = tmp_path_factory.mktemp("figures")
    save_figure(forest_chart(source).figure, folder, "forest")
    return folder


def test_all_charts_are_the_list_of_titles(charts: dict[str, Any]) -> None:
    assert list(charts) == list(TITLES)
    assert CHARTS.keys() == TITLES.keys()
    left_out = {name: str(chart) for name, chart in charts.items() if isinstance(chart, LackingError)}
    assert left_out.keys() == {"learning-curves"}
    assert "`ferfuse report --ledger FOLDER`" in left_out["learning-curves"]


def test_every_figure_names_its_data_as_synthetic(charts: dict[str, Any]) -> None:
    for name, chart in charts.items():
        if isinstance(chart, Chart):
            assert "SYNTHETIC, drawn images" in page_svg(chart.figure, name), name
            assert chart.caption.endswith(".")
            assert chart.summary.endswith(".")


def test_a_ledger_with_nothing_to_compare_says_what_would_help(source: Source) -> None:
    nothing = source.found.model_copy(update={"comparisons": [], "methods": [], "readings": [], "pairs": []})
    found = all_charts(Source(source.ledger, nothing))
    reasons = [str(chart) for chart in found.values() if isinstance(chart, LackingError)]
    assert len(reasons) == 6
    assert all(re.search(r"`ferfuse (reproduce|audit|report).*`", reason) for reason in reasons)


def test_the_same_ledger_gives_the_same_bytes(source: Source, forest: Path, tmp_path: Path) -> None:
    (tmp_path / "found.json").write_text(json.dumps(source.found.to_json()))
    words = [sys.executable, "-c", WRITE, str(source.ledger.root), str(tmp_path / "found.json"), str(tmp_path)]
    settings = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    subprocess.run(words, check=True, env=settings)
    for suffix in ("svg", "pdf", "png"):
        assert (tmp_path / f"forest.{suffix}").read_bytes() == (forest / f"forest.{suffix}").read_bytes(), suffix


def test_files_hold_their_fonts_and_no_date(forest: Path) -> None:
    pdf, svg = (forest / "forest.pdf").read_bytes(), (forest / "forest.svg").read_text()
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert b"CreationDate" not in pdf
    assert "<text" not in svg
    assert "<dc:date>" not in svg
    with Image.open(forest / "forest.png") as image:
        assert image.size[0] == 1400
        assert "Software" not in image.info


def test_figures_of_an_earlier_ledger_go(charts: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "learning-curves.svg").write_text("of an earlier ledger")
    save_charts({"recall": charts["recall"], "learning-curves": LackingError("no histories")}, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recall.pdf", "recall.png", "recall.svg"]


def test_forest_draws_each_difference_and_its_intervals() -> None:
    lines = [
        Line("one", 1.5, (0.5, 2.5), (0.2, 2.8), "better"),
        Line("two", -0.1, (-0.3, 0.1), (), "practically equal"),
        Line("three", 0.0, (), (), "open"),
    ]
    axes = Figure().subplots()
    draw_forest(axes, [Block("Heading", lines)], margin=0.5)
    drawn_x = [np.asarray(line.get_xdata(), dtype=float).tolist() for line in axes.lines[1:]]
    assert drawn_x == [[0.2, 2.8], [0.5, 2.5], [1.5], [-0.3, 0.1], [-0.1], [0.0]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Heading", "one", "two", "three"]
    right = axes.child_axes[0]
    assert [label.get_text() for label in right.get_yticklabels()] == [
        "", "+1.50  better", "-0.10  practically equal", "+0.00  open",
    ]  # fmt: skip
    heights = [line.get_ydata()[0] for line in axes.lines if len(line.get_xdata()) == 1]
    assert heights == [-1, -2, -3]


def test_cost_rings_the_front(source: Source) -> None:
    axes = cost_chart(source).figure.axes[0]
    rings = [line for line in axes.lines if line.get_markersize() == 9]
    chosen = front(models(source), "multiply_adds")
    assert [(ring.get_xdata()[0], ring.get_ydata()[0]) for ring in rings] == [
        (model.multiply_adds, model.accuracy) for model in chosen
    ]
    assert chosen[-1].accuracy == pytest.approx(80.8333, abs=1e-3)


def test_titles_are_words_in_a_figure(source: Source) -> None:
    title = f'{ODD_TITLE} id="a" href="#b" url(#c) {style.BLUE}'
    found = source.found.model_copy(update={"titles": {**source.found.titles, "late": title}})
    svg = page_svg(forest_chart(Source(source.ledger, found)).figure, "forest")
    root = ElementTree.fromstring(svg.replace("xlink:href", "href"))
    texts = ["".join(element.itertext()) for element in root.iter() if element.tag.endswith("text")]
    assert title in texts
    assert not [element for element in root.iter() if element.tag.endswith(("script", "b"))]


def test_a_page_svg_has_ids_of_its_own_and_the_pages_colours(charts: dict[str, Any]) -> None:
    svgs = {name: page_svg(chart.figure, name) for name, chart in charts.items() if isinstance(chart, Chart)}
    ids = [found for svg in svgs.values() for found in re.findall(r' id="([^"]+)"', svg)]
    assert len(ids) == len(set(ids)) > 0
    for name, svg in svgs.items():
        used = {a or b for a, b in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)}
        assert used == set(re.findall(r' id="([^"]+)"', svg)), name
        assert style.INK not in svg
        assert "currentColor" in svg
        assert "<style" not in svg


def test_seventy_marks_differ() -> None:
    found = marks([str(i) for i in range(70)])
    assert len(set(found.values())) == 70


def luminance(colour: str) -> float:
    """Relative luminance as the accessibility guidelines define it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_words_in_figures_can_be_read_on_paper() -> None:
    for colour in (style.INK, style.MUTED):
        assert (luminance(style.PAPER) + 0.05) / (luminance(colour) + 0.05) >= 4.5


def test_many_and_few_lines_stay_apart(source: Source) -> None:
    few = family_blocks(source)
    many = [Block(f"{block.heading} {i}", block.lines) for i in range(8) for block in few]
    for blocks in (few[:1], many):
        rows = sum(len(block.lines) for block in blocks) + 1.6 * len(blocks)
        figure = drawn(lambda f, b=blocks: draw_forest(f.subplots(), b, 0.5), 1.2 + 0.2 * rows, "about")  # type: ignore[misc]
        labels = [label for label in figure.axes[0].get_yticklabels() if label.get_text()]
        boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.y0)
        assert all(lower.y1 <= upper.y0 + 0.5 for lower, upper in pairwise(boxes))
