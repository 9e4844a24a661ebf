"""What `significance.json` holds is read into the same report that it was written from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.analysis.freshness import parsed
from benchmark.analysis.report import PrintedElsewhere, Report
from benchmark.config import UserError
from benchmark.ledger import load_ledger
from benchmark.ledger.files import read_json, write_json
from benchmark.reporting.significance import make_significance

ROOT = Path(__file__).parents[2]
WRITTEN = [ROOT / "tests/golden/small/significance.json", *sorted(ROOT.glob("reports/reference/*/significance.json"))]


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.parent.name)
def test_every_written_report_is_read_and_written_again_byte_for_byte(path: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "again.json", parsed(read_json(path), path).to_json())
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_what_is_read_is_what_was_written() -> None:
    beside = (PrintedElsewhere(method="Theirs", networks="", accuracy="88.1", source="A 2024"),)
    report = make_significance(load_ledger(ROOT / "tests/golden/ledger")).model_copy(update={"beside": beside})
    again = Report.model_validate(json.loads(json.dumps(report.to_json())))
    assert again.to_json() == report.to_json()
    assert [row.noise.shares for row in again.comparisons] == [row.noise.shares for row in report.comparisons]
    assert again.rows("primary", method="attention-fusion") == report.rows("primary", method="attention-fusion")


def test_a_field_too_many_is_ignored_and_one_that_is_missing_is_named() -> None:
    values = json.loads(WRITTEN[0].read_text())
    assert parsed({**values, "later": 1}, WRITTEN[0]) == parsed(values, WRITTEN[0])
    del values["comparisons"][0]["verdict"]
    with pytest.raises(UserError, match=r"significance.json is damaged \(comparisons.0.verdict: Field required\)"):
        parsed(values, WRITTEN[0])
