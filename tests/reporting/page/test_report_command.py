"""`ferfuse report` writes page and figures, the same each time; other commands never draw."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmark import cli
from benchmark.reporting.figures import all_charts
from benchmark.reporting.figures.titles import TITLES

ROOT = Path(__file__).resolve().parents[3]
FEW = ("error-overlap", "learning-curves")


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_report_writes_page_and_figures_the_same_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(all_charts, "TITLES", {name: TITLES[name] for name in FEW})
    words = ["ferfuse", "report", "--ledger", str(ROOT / "tests/golden/ledger"), "--reports-dir", str(tmp_path)]
    monkeypatch.setattr("sys.argv", words)
    found = []
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code
        found.append(contents(tmp_path / "small"))
    assert found[0] == found[1]
    figures = {name for name in found[0] if name.startswith("figures/")}
    summaries = {f"figures/summary{kind}.svg" for kind in ("", "-dark", "-narrow", "-narrow-dark")}
    assert figures == summaries | {f"figures/{name}.{suffix}" for name in FEW[:1] for suffix in ("svg", "pdf", "png")}
    page = found[0]["index.html"].decode()
    assert page.count("<svg") == 3  # a figure, and the summary for wide and for narrow screens
    assert 'href="figures/error-overlap.pdf"' in page


def test_tables_and_verdicts_are_read_without_drawing() -> None:
    code = "import sys, benchmark.cli, benchmark.reporting.report; print({'matplotlib', 'torch'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
