"""The summary shows the primary differences and the evaluation orders, whole on every screen, on light and on dark."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from benchmark.reporting.figures import style
from benchmark.reporting.figures.saving import save_summaries
from benchmark.reporting.figures.source import Source
from benchmark.reporting.figures.style import Chart
from benchmark.reporting.figures.summary import summary_charts
from benchmark.reporting.figures.titles import SUMMARIES, remove_figures

CSS = Path(style.__file__).parents[1] / "page" / "templates" / "page.css"


@pytest.fixture(scope="module")
def summaries(source: Source) -> dict[str, Chart]:
    """The summary of the golden ledger, wide and narrow; not to be changed."""
    return summary_charts(source)


def test_it_draws_the_primary_differences_and_their_intervals(summaries: dict[str, Chart], source: Source) -> None:
    rows = [row for row in source.found.comparisons if row.family == "primary"]
    for chart in summaries.values():
        lines = [np.asarray(line.get_xdata(), dtype=float).tolist() for line in chart.figure.axes[0].lines[1:]]
        assert lines == [
            [*ends] for row in rows for ends in (row.images_interval, row.seeds_interval, [row.difference])
        ]
        words = [text.get_text() for text in chart.figure.axes[0].texts]
        assert words == ["Late fusion: +3.54, not yet", "Early fusion: +2.08, not yet"]


def test_it_draws_the_default_reading_and_one_that_depends_on_the_batch(
    summaries: dict[str, Chart], source: Source
) -> None:
    for chart in summaries.values():
        axes = chart.figure.axes[1]
        assert [text.get_text() for text in axes.texts] == ["Attention fusion", "Attention fusion (axis=batch) †"]
        labels = [label.get_text() for label in axes.get_yticklabels()]
        assert labels[:4] == [f"{order} 75.6" for order in ("file order", "sorted by class", "shuffled", "one by one")]
        shown = [container.lines[0].get_xdata()[0] for container in axes.containers]
        by_order = {
            order: [f["accuracy"][order] for f in source.ledger.audit if f["method"].endswith("axis=batch")]
            for order in ("file_order", "sorted_by_class", "shuffled", "one_by_one")
        }
        np.testing.assert_allclose(shown[4:], [100 * np.mean(values) for values in by_order.values()])


@pytest.mark.parametrize("name", SUMMARIES)
@pytest.mark.parametrize("verdict", ["practically equal", "better on this test set"])
def test_no_word_is_cut_off(source: Source, name: str, verdict: str) -> None:
    method = "Attention fusion"
    rows = [
        row.model_copy(update={"verdict": verdict, "difference": -12.34})
        for row in source.found.comparisons
        if row.family == "primary"
    ]
    titles = {**source.found.titles, "early": f"{method} without local attention"}
    found = source.found.model_copy(update={"comparisons": rows, "titles": titles})
    figure = summary_charts(dataclasses.replace(source, found=found))[name].figure
    assert [text.get_text() for text in figure.axes[0].texts][1] == f"without local attention: -12.34, {verdict}"
    for text in words_of(figure):
        box = text.get_window_extent()
        assert box.x0 >= -1, text.get_text()
        assert box.x1 <= figure.bbox.x1 + 1, text.get_text()


def words_of(figure: Figure) -> list[Text]:
    """Every text of a figure that says something; ticks beyond an axis have labels that are not drawn."""
    ticks = {id(label) for axes in figure.axes for label in axes.get_xticklabels(which="both")}
    return [text for text in figure.findobj(Text) if text.get_text() and id(text) not in ticks]


def test_without_an_audit_the_differences_stand_alone_and_without_those_nothing(source: Source) -> None:
    ledger = dataclasses.replace(source.ledger)
    ledger.__dict__["audit"] = []
    for chart in summary_charts(dataclasses.replace(source, ledger=ledger)).values():
        assert len(chart.figure.axes) == 1
    nothing = source.found.model_copy(update={"comparisons": []})
    assert summary_charts(dataclasses.replace(source, found=nothing)) == {}


def test_files_on_light_and_dark_are_the_same_each_time_and_go_with_the_others(
    summaries: dict[str, Chart], tmp_path: Path
) -> None:
    found = []
    for _ in range(2):
        save_summaries(summaries, tmp_path)
        found.append({path.name: path.read_text() for path in tmp_path.iterdir()})
    assert found[0] == found[1]
    assert found[0].keys() == {f"{name}{dark}.svg" for name in SUMMARIES for dark in ("", "-dark")}
    light, dark = found[0]["summary.svg"], found[0]["summary-dark.svg"]
    for colour, other in style.DARK.items():
        assert colour not in dark
        assert (colour in light) == (other in dark)
    assert "<image" not in light
    remove_figures(tmp_path)
    assert not tmp_path.exists()


def test_dark_colours_are_those_of_the_page() -> None:
    names = {
        "ink": style.INK, "muted": style.MUTED, "rule": style.RULE, "paper": style.PAPER, "blue": style.BLUE,
        "vermillion": style.VERMILLION, "green": style.GREEN, "purple": style.PURPLE, "orange": style.ORANGE,
        "sky": style.SKY,
    }  # fmt: skip
    dark = CSS.read_text().partition('data-theme="dark"')[2].partition("}")[0]
    assert {colour: dict(re.findall(r"--(\w+): (#\w+)", dark))[name] for name, colour in names.items()} == style.DARK
