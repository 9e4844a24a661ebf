"""Table 6 on the published ledger: what it joins, and against what; late fusion is the average of probabilities."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmark.analysis.comparisons import BEST_SINGLE
from benchmark.analysis.ensembles import ALL, GREEDY, PAIRS, Entry, ensembles
from benchmark.analysis.evidence import read_evidence
from benchmark.config import UserError
from benchmark.ledger import Ledger, load_ledger
from benchmark.reporting.formats import render
from benchmark.reporting.report import make_table
from tests.conftest import make_record, write_ledger

REFERENCE = Path(__file__).parents[2] / "results" / "reference" / "open-faces-cpu"


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return load_ledger(REFERENCE)


@pytest.fixture(scope="module")
def entries(ledger: Ledger) -> dict[tuple[str, str], Entry]:
    return {(entry.networks, entry.method): entry for entry in ensembles(ledger)}


def test_the_average_is_what_late_fusion_recorded(entries: dict[tuple[str, str], Entry]) -> None:
    average, late = entries[PAIRS, "average"], entries[PAIRS, "late"]
    assert average.accuracies == late.accuracies
    assert average.against[BEST_SINGLE].test == late.against[BEST_SINGLE].test


def test_baselines_are_of_the_same_networks(ledger: Ledger, entries: dict[tuple[str, str], Entry]) -> None:
    evidence = read_evidence(ledger)
    every = tuple(ledger.experiment["main"]["backbones"])
    alone = {
        PAIRS: 100 * evidence.best_single().mean(axis=(1, 2)),
        ALL: 100 * evidence.best_single([every]).mean(axis=(1, 2)),
    }
    for (networks, method), entry in entries.items():
        test = entry.against[BEST_SINGLE].test
        assert test.mean == pytest.approx(np.mean(entry.accuracies) - alone[networks].mean())
        if method != GREEDY:
            greedy = entries[networks, GREEDY].accuracies
            assert entry.against[GREEDY].test.mean == pytest.approx(np.mean(entry.accuracies) - np.mean(greedy))
    assert GREEDY not in entries[ALL, GREEDY].against
    assert {one.against[BEST_SINGLE].family_size for (where, _), one in entries.items() if where == ALL} == {4}


def test_the_table_says_what_the_analysis_found(ledger: Ledger, entries: dict[tuple[str, str], Entry]) -> None:
    table = make_table(6, ledger)
    rows = {(row[0].text, row[1].values[0]): row for row in table.rows}
    names = {PAIRS: "Pairs", ALL: "All networks"}
    for (networks, method), entry in entries.items():
        row = rows[names[networks], method]
        assert row[2].values[0] == pytest.approx(np.mean(entry.accuracies))
        test = entry.against[BEST_SINGLE].test
        assert row[3].values == pytest.approx((test.mean, *test.bounds), rel=1e-5)
        assert row[4].text == test.verdict
    assert "Caruana" in render(table, "markdown")


def test_it_needs_no_torch() -> None:
    code = (
        "import sys; from benchmark.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    words = ["table", "6", "--experiment", "reference/open-faces-cpu", "--results-dir", str(REFERENCE.parents[1])]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Greedy selection" in done.stdout


def test_one_network_alone_is_one_line(tmp_path: Path) -> None:
    write_ledger(tmp_path / "one", [make_record("backbone", None, ["resnet18"], s, 0.5) for s in (0, 1)])
    with pytest.raises(UserError, match=r"nothing to join|cannot be used"):
        make_table(6, load_ledger(tmp_path / "one"))
