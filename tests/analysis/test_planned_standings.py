"""Before the first planned look no method stands above another, whatever the seeds at hand say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.analysis.standings import _family
from benchmark.ledger import load_ledger
from benchmark.reporting.report import make_table
from benchmark.reporting.significance import make_significance
from benchmark.statistics.comparison import Protocol
from tests.reporting.drawn import Rule, write_packed


@pytest.mark.parametrize(("looks", "top"), [((10,), 3), ((6,), 1), ((3, 10), 1), (None, 1)])
def test_a_method_far_above_the_others_leads_only_from_the_first_look_on(
    looks: tuple[int, ...] | None, top: int
) -> None:
    generator = np.random.default_rng(0)
    accuracies = np.array([80.0, 60.0, 60.5])[:, None] + generator.normal(size=(3, 6))
    found = _family(["a", "b", "c"], [None], accuracies[None], Protocol(looks=looks))
    assert len(found.groups[0].top) == top
    assert found.groups[0].top[0] == "a"


def test_the_tables_say_that_nothing_is_tested_yet(tmp_path: Path) -> None:
    rule = Rule(methods=("late", "attention-fusion"), gains={"attention-fusion": 9.0}, seeds=3, images=100, looks=(5,))
    ledger = load_ledger(write_packed(tmp_path / "drawn", rule))
    for number in (1, 2):
        table = make_table(number, ledger, make_significance(ledger))
        said = [*table.notes, table.verdict or ""]
        assert any("tested before 5 seeds, as planned" in text for text in said)
        assert not any("t tests over" in text or "significant" in text for text in said)
        assert not any(cell.is_best for row in table.rows for cell in row)
