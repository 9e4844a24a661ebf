"""Verdicts in Tables 1 and 2: bold and ties where the statistics say so, and none that are of another ledger."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from benchmark.analysis.report import Report, Top
from benchmark.ledger import Ledger, load_ledger
from benchmark.reporting.formats import render
from benchmark.reporting.report import current_verdicts, make_table, refresh_verdicts, write_tables
from benchmark.reporting.tables import Cell, Table
from tests.reporting.drawn import Rule, write_packed

METHODS = ("late", "early", "attention-fusion", "own", "leaky")
RULE = Rule(
    gains={"attention-fusion": 5.0, "own": 5.0, "leaky": 12.0},
    methods=METHODS,
    leaks=("leaky",),
    backbones=("resnet18", "vgg11", "resnet34"),
    seeds=6,
    images=3068,
    dataset="raf-db",
)
Judged = tuple[Ledger, Report, Path]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """A ledger with two methods far above the rest and one that is higher by its batch; its verdicts; their folder."""
    folder = tmp_path_factory.mktemp("judged")
    ledger = load_ledger(write_packed(folder / "drawn", RULE))
    refresh_verdicts(ledger, folder / "reports")
    found = current_verdicts(ledger, folder / "reports")
    assert found is not None
    return ledger, found, folder / "reports"


def with_top(found: Report, family: str, name: str) -> Report:
    """Return a report in which one arm of a family stands alone at its top."""
    alone = found.standings[family].model_copy(update={"groups": [Top(pair=None, top=[name])]})
    return found.model_copy(update={"standings": {**found.standings, family: alone}})


def accuracy_cells(table: Table) -> dict[tuple[Any, ...], Cell]:
    place = [column.key for column in table.columns].index("accuracy")
    return {tuple(cell.values[0] for cell in row[: table.names]): row[place] for row in table.rows}


def expected_standings(ledger: Ledger) -> dict[tuple[str, ...], str]:
    """Every pair of methods on every pair of networks by scipy's t test, Holm over all by statsmodels."""
    by_cell: dict[tuple[str, ...], list[float]] = {}
    for record in ledger.of_kind("fusion"):
        if record.method != "leaky":
            name = (str(record.method), *record.backbones)
            by_cell.setdefault(name, []).append(record.metrics["validation_selected"]["accuracy"])
    groups = list(dict.fromkeys(name[1:] for name in by_cell))
    tests = [(g, a, b) for g in groups for a, b in combinations(METHODS[:4], 2)]
    p_values = [stats.ttest_rel(by_cell[a, *g], by_cell[b, *g]).pvalue for g, a, b in tests]
    told = dict(zip(tests, multipletests(p_values, method="holm")[1] <= 0.04, strict=True))
    standings = {}
    for group in groups:
        means = {method: np.mean(by_cell[method, *group]) for method in METHODS[:4]}
        highest = max(means, key=lambda method: means[method])
        apart = [m for m in means if told.get((group, m, highest)) or told.get((group, highest, m))]
        for method in means:
            alone = "best" if len(apart) == 3 else "tied"
            standings[method, *group] = "below" if method in apart else alone
    return standings


def test_cells_are_best_tied_or_below_as_an_independent_reckoning_says(judged: Judged) -> None:
    ledger, found, _ = judged
    expected = expected_standings(ledger)
    assert set(expected.values()) >= {"tied", "below"}
    cells = accuracy_cells(make_table(2, ledger, found))
    for name, standing in expected.items():
        assert cells[name].values[2] == standing, name
        assert cells[name].is_best == (standing == "best")
        assert not cells[name].marks


def test_a_method_that_depends_on_its_batch_is_never_the_best(judged: Judged) -> None:
    ledger, found, _ = judged
    cells = accuracy_cells(make_table(2, ledger, found))
    leaky = [cell for name, cell in cells.items() if name[0] == "leaky"]
    assert min(float(str(cell.values[0])) for cell in leaky) > 95
    assert all(cell.marks == ("†",) and cell.values[2:] == (None, True) and not cell.is_best for cell in leaky)


def test_bold_is_written_in_markdown_and_latex(tmp_path: Path) -> None:
    rule = Rule(gains={"early": 8.0}, methods=("late", "early"), backbones=("resnet18", "vgg11"), seeds=5)
    ledger = load_ledger(write_packed(tmp_path / "clear", rule))
    assert "No verdicts" not in refresh_verdicts(ledger, tmp_path)
    table = make_table(2, ledger, current_verdicts(ledger, tmp_path))
    markdown, latex = render(table, "markdown"), render(table, "latex")
    best = accuracy_cells(table)["early", "resnet18", "vgg11"]
    assert f"| **{best.text}** |" in markdown
    assert markdown.count("**") == 4  # the title and one cell
    bold = best.text.replace("±", r"$\pm$")
    assert rf"\textbf{{{bold}}}" in latex
    assert "Holm over 1 comparison at level 0.04" in markdown


def test_the_title_of_the_top_is_that_of_the_mean_over_pairs(judged: Judged) -> None:
    ledger, found, _ = judged
    note = make_table(2, ledger, found).verdict
    assert note.startswith("On the mean over pairs")
    assert "no significant difference from" in note
    assert "Own" in note
    assert "Attention-Fusion" in note
    assert "Leaky" not in note
    other = with_top(found, "methods", "own")
    assert "Own is significantly above every other method" in make_table(2, ledger, other).verdict


def test_printed_numbers_carry_the_verdict_of_the_report(judged: Judged) -> None:
    ledger, found, _ = judged
    printed = [row for row in found.printed if row.table == 2]
    verdicts = {(row.method, frozenset(row.backbones)): row.verdict for row in printed}
    table = make_table(2, ledger, found)
    place = {column.key: index for index, column in enumerate(table.columns)}
    shown = 0
    for row in table.rows:
        key = (row[0].values[0], frozenset({row[1].values[0], row[2].values[0]}))
        assert row[place["verdict"]].text == verdicts.get(key, "")
        assert bool(row[place["verdict"]].text) == bool(row[place["paper"]].text)
        shown += bool(row[place["verdict"]].text)
    assert shown == 5
    assert set(verdicts.values()) >= {"not compatible"}


def test_without_verdicts_of_this_ledger_a_table_says_that_nothing_is_tested(judged: Judged, tmp_path: Path) -> None:
    ledger, _, reports = judged
    other = load_ledger(write_packed(tmp_path / "drawn", Rule(methods=("late",), seeds=2, images=60)))
    assert current_verdicts(other, reports) is None
    table = make_table(2, other, None)
    assert any("Nothing is tested" in note for note in table.notes)
    assert not any(cell.marks or cell.is_best for row in table.rows for cell in row if cell.marks != ("*",))
    assert "Nothing is tested" not in render(make_table(2, ledger, current_verdicts(ledger, reports)), "markdown")


def test_written_tables_use_the_verdicts_that_are_there(judged: Judged) -> None:
    ledger, found, reports = judged
    paths = write_tables(ledger, reports)
    assert {path.name for path in paths} >= {"table2.md", "table2.tex", "table2.csv", "table2.json"}
    assert (reports / "drawn" / "table2.md").read_text() == render(make_table(2, ledger, found, "pairs"), "markdown")
    assert "≈" not in (reports / "drawn" / "table2.md").read_text()


def test_backbones_are_judged_among_themselves(judged: Judged) -> None:
    ledger, found, _ = judged
    table = make_table(1, ledger, with_top(found, "backbones", "vgg11"))
    cells = accuracy_cells(table)
    assert {name[0]: cell.values[2] for name, cell in cells.items()} == {
        "vgg11": "best", "resnet18": "below", "resnet34": "below",
    }  # fmt: skip
    assert [name[0] for name, cell in cells.items() if cell.is_best] == ["vgg11"]
    verdicts = {row.backbones[0]: row.verdict for row in found.printed if row.table == 1}
    place = [column.key for column in table.columns].index("verdict")
    assert {row[0].values[0]: row[place].text for row in table.rows} == {
        name: verdicts[name] for name in ("vgg11", "resnet18", "resnet34")
    }
