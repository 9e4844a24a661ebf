"""The public library is what it names, and needs torch for networks alone."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import ferfuse


def test_every_public_name_is_there() -> None:
    assert dir(ferfuse) == sorted(ferfuse.__all__)
    for name in ferfuse.__all__:
        assert callable(getattr(ferfuse, name)), name
    with pytest.raises(AttributeError, match="ferfuse has no 'nothing'"):
        _ = ferfuse.nothing


def test_names_are_those_of_the_packages() -> None:
    from benchmark.ledger import load_ledger
    from fusion_methods import register_fusion

    assert ferfuse.register_fusion is register_fusion
    assert ferfuse.read_ledger is load_ledger


def test_results_are_compared_and_read_without_torch() -> None:
    golden = Path(__file__).parent / "golden" / "ledger"
    code = (
        "import sys, ferfuse\n"
        "assert ferfuse.compare({'a': [0.8, 0.81, 0.82, 0.8], 'b': [0.7, 0.72, 0.71, 0.7]}, 'a')['b'].mean > 9\n"
        f"assert len(ferfuse.read_ledger(__import__('pathlib').Path({str(golden)!r})).records) > 9\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=golden.parents[2])


def test_a_ledger_is_one_tidy_frame_whose_means_are_those_of_table_2() -> None:
    golden = Path(__file__).parent / "golden"
    ledger = ferfuse.read_ledger(str(golden / "ledger"))
    frame = ledger.frame()
    assert len(frame) == sum(len(record.metrics) for record in ledger.records)
    assert not frame.duplicated(["run_id", "selection"]).any()
    table = pd.read_csv(golden / "small" / "table2.csv").dropna(subset="accuracy")
    chosen = frame[(frame["selection"] == "validation_selected") & (frame["kind"] == "fusion")]
    means = 100 * chosen.groupby(["method", "backbones"])["accuracy"].mean()
    assert len(table) > 10
    for row in table.itertuples():
        assert means[row.method, f"{row.model_1}+{row.model_2}"] == pytest.approx(row.accuracy)
