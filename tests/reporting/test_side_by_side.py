"""Two ledgers side by side: paired where they may be, Welch elsewhere, one correction for all."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from benchmark.config import UserError
from benchmark.ledger import Ledger, load_ledger
from benchmark.reporting.formats import render
from benchmark.reporting.side_by_side import compare_ledgers
from tests.conftest import make_record, write_ledger

NAMES = [("late", "a"), ("early", "a"), ("late", "b")]


def ledger_of(folder: Path, accuracies: dict[tuple[str, str], list[float]], **changes: Any) -> Ledger:
    """A ledger whose cells have these accuracies (fractions) for seeds 0, 1, ..."""
    records = [
        make_record("fusion", method, [partner, "z"], seed, value)
        for (method, partner), values in accuracies.items()
        for seed, value in enumerate(values)
    ]
    write_ledger(folder, records)
    loaded = load_ledger(folder)
    dataset = {**loaded.experiment["dataset"], **{key: value for key, value in changes.items() if key == "digest"}}
    settings = {**loaded.experiment["settings"], **changes.get("settings", {})}
    return replace(loaded, experiment={**loaded.experiment, "dataset": dataset, "settings": settings})


def noisy(seed: int, seeds: int, *means: float) -> dict[tuple[str, str], list[float]]:
    rng = np.random.default_rng(seed)
    return {name: (mean + 0.01 * rng.normal(size=seeds)).tolist() for name, mean in zip(NAMES, means, strict=True)}


def rows_of(first: Ledger, second: Ledger) -> dict[tuple[str, str], dict[str, Any]]:
    rows = json.loads(render(compare_ledgers(first, second), "json"))["rows"]
    return {(row["method"], row["backbones"].split(" + ")[0]): row for row in rows}


def test_same_data_and_seeds_are_paired(tmp_path: Path) -> None:
    a, b = noisy(1, 6, 0.8, 0.8, 0.8), noisy(2, 6, 0.8, 0.78, 0.83)
    rows = rows_of(ledger_of(tmp_path / "a", a), ledger_of(tmp_path / "b", b))
    tests = [stats.ttest_rel(a[name], b[name]) for name in NAMES]
    adjusted = multipletests([test.pvalue for test in tests], method="holm")[1]
    assert (adjusted <= 0.05).sum() in (1, 2)
    for name, test, p_holm in zip(NAMES, tests, adjusted, strict=True):
        row, difference = rows[name], 100 * (np.mean(a[name]) - np.mean(b[name]))
        assert row["test"] == "paired"
        assert (row["difference"], row["p_holm"]) == pytest.approx((difference, p_holm))
        interval = tuple(100 * end for end in test.confidence_interval(0.95))
        assert (row["interval_low"], row["interval_high"]) == pytest.approx(interval)
        assert (row["a"], row["b_sd"]) == pytest.approx((100 * np.mean(a[name]), 100 * np.std(b[name], ddof=1)))
        word = "no significant difference" if p_holm > 0.05 else "higher" if difference > 0 else "lower"
        assert row["verdict"] == word


@pytest.mark.parametrize("how", ["other data", "other seeds"])
def test_other_data_or_seeds_go_by_welch(tmp_path: Path, how: str) -> None:
    a, b = noisy(1, 6, 0.8, 0.8, 0.8), noisy(2, 6 if how == "other data" else 5, 0.8, 0.72, 0.88)
    second = ledger_of(tmp_path / "b", b, **({"digest": "e" * 32} if how == "other data" else {}))
    first = ledger_of(tmp_path / "a", a)
    tests = [stats.ttest_ind(a[name], b[name], equal_var=False) for name in NAMES]
    adjusted = multipletests([test.pvalue for test in tests], method="holm")[1]
    for name, p_holm in zip(NAMES, adjusted, strict=True):
        row = rows_of(first, second)[name]
        assert (row["test"], row["p_holm"]) == ("Welch", pytest.approx(p_holm))
    found = compare_ledgers(first, second)
    assert any("3 cells by Welch's t tests" in note for note in found.notes)
    assert found.title.startswith("A beside B: 2 of 3 cells differ")
    assert [row[-1].text for row in found.rows] == ["no significant difference", "lower", "higher"]


def test_a_ledger_beside_itself_is_identical(tmp_path: Path) -> None:
    a = ledger_of(tmp_path / "a", noisy(1, 2, 0.8, 0.8, 0.8))
    assert {row["verdict"] for row in rows_of(a, a).values()} == {"identical"}
    assert "The settings are the same." in compare_ledgers(a, a).notes


def test_few_seeds_leave_it_open(tmp_path: Path) -> None:
    a = ledger_of(tmp_path / "a", noisy(1, 2, 0.9, 0.9, 0.9))
    b = ledger_of(tmp_path / "b", noisy(2, 2, 0.1, 0.1, 0.1))
    one = ledger_of(tmp_path / "c", noisy(3, 1, 0.1, 0.1, 0.1))
    assert {row["verdict"] for row in rows_of(a, b).values()} == {"open: too few seeds"}
    rows = rows_of(a, one).values()
    assert {row["verdict"] for row in rows} == {"open: too few seeds"}
    assert {row["p_holm"] for row in rows} == {None}
    assert "nan" not in render(compare_ledgers(a, one), "markdown")


def test_what_differs_and_what_only_one_has_is_said(tmp_path: Path) -> None:
    a = ledger_of(tmp_path / "a", noisy(1, 3, 0.8, 0.8, 0.8), settings={"backbone_stage": {"epochs": 3}})
    cells = {("late", "a"): [0.8, 0.8, 0.9], ("own", "a"): [0.8, 0.8, 0.8]}
    b = ledger_of(tmp_path / "b", cells, settings={"backbone_stage": {"epochs": 9}})
    notes = " ".join(compare_ledgers(a, b).notes)
    assert "backbone_stage.epochs (3, 9)" in notes
    assert "Only in A: late on b + z, early on a + z." in notes
    assert "Only in B: own on a + z." in notes
    assert len(compare_ledgers(a, b).rows) == 1


def test_ledgers_without_a_common_cell_are_refused(tmp_path: Path) -> None:
    a = ledger_of(tmp_path / "a", {("late", "a"): [0.8]})
    b = ledger_of(tmp_path / "b", {("late", "b"): [0.8]})
    with pytest.raises(UserError, match="no method on the same networks in common"):
        compare_ledgers(a, b)


def test_csv_holds_the_same(tmp_path: Path) -> None:
    a = ledger_of(tmp_path / "a", noisy(1, 6, 0.8, 0.8, 0.8))
    b = ledger_of(tmp_path / "b", noisy(2, 6, 0.8, 0.78, 0.83))
    table = compare_ledgers(a, b)
    lines = list(csv.DictReader(io.StringIO(render(table, "csv"))))
    rows = json.loads(render(table, "json"))["rows"]
    assert [float(line["difference"]) for line in lines] == [row["difference"] for row in rows]
