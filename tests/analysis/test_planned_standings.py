"""Before the first planned look no method stands above another, whatever the seeds at hand say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmark.analysis.standings import _family
from benchmark.ledger import load_ledger
from benchmark.reporting.report import make_table
from benchmark.statistics.comparison import Protocol

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("looks", "top"), [((10,), 3), ((6,), 1), ((3, 10), 1), (None, 1)])
def test_a_method_far_above_the_others_leads_only_from_the_first_look_on(
    looks: tuple[int, ...] | None, top: int
) -> None:
    generator = np.random.default_rng(0)
    accuracies = np.array([80.0, 60.0, 60.5])[:, None] + generator.normal(size=(3, 6))
    found = _family(["a", "b", "c"], [None], accuracies[None], Protocol(looks=looks))
    assert len(found["groups"][0]["top"]) == top
    assert found["groups"][0]["top"][0] == "a"


def test_the_tables_say_that_nothing_is_tested_yet() -> None:
    name = "reference/open-faces-32px"
    found = json.loads((ROOT / "reports" / name / "significance.json").read_text())
    planned, reached = found["looks"]["current"], found["looks"]["reached"]
    if reached:
        pytest.skip("the reference has reached its planned look")
    ledger = load_ledger(ROOT / "results" / name)
    for number in (1, 2):
        table = make_table(number, ledger, found)
        said = [*table.notes, table.verdict or ""]
        assert any(f"tested before {planned} seeds, as planned" in text for text in said)
        assert not any("t tests over" in text or "significant" in text for text in said)
        assert not any(cell.is_best for row in table.rows for cell in row)
