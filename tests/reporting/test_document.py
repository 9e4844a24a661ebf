"""The report as a PDF, where there is pdflatex; one line where there is none, or where it fails."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmark.analysis.report import Report
from benchmark.config import UserError
from benchmark.ledger import Ledger, load_ledger
from benchmark.reporting import document
from benchmark.reporting.report import make_table, refresh_verdicts, write_document

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
needs_pdflatex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
TINY_PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 50]>>endobj
xref
0 4
0000000000 65535 f
0000000009 00000 n
0000000052 00000 n
0000000101 00000 n
trailer<</Size 4/Root 1 0 R>>
startxref
163
%%EOF
"""


@pytest.fixture
def ledger() -> Ledger:
    return load_ledger(GOLDEN / "ledger")


@pytest.fixture
def reports(ledger: Ledger, tmp_path: Path) -> Path:
    """A folder that holds the golden verdicts, which need not be computed again."""
    shutil.copytree(GOLDEN / "small", tmp_path / "small", ignore=shutil.ignore_patterns("figures"))  # made by hand
    assert "No verdicts" not in refresh_verdicts(ledger, tmp_path)
    return tmp_path


@needs_pdflatex
def test_the_document_holds_every_table_and_figure(ledger: Ledger, reports: Path) -> None:
    (reports / "small" / "figures").mkdir()
    (reports / "small" / "figures" / "error-overlap.pdf").write_bytes(TINY_PDF)
    path = write_document(ledger, reports)
    first = path.read_bytes()
    assert first.startswith(b"%PDF")
    assert write_document(ledger, reports).read_bytes() == first
    assert {p.name for p in path.parent.iterdir() if "tmp" in p.name} == set()
    if shutil.which("pdftotext") is None:
        pytest.skip("no pdftotext on this machine to read the PDF with")
    text = subprocess.run(["pdftotext", "-layout", path, "-"], capture_output=True, text=True, check=True).stdout
    flat = " ".join(text.split())
    for number in (1, 2, 3, 4, 5, *(f"S{i}" for i in range(1, 12))):
        assert f"Table {number}:" in flat, number
    assert "Figure 1: Error overlap" in flat
    assert "Attention fusion has no verdict yet against Late fusion" in flat
    for row in make_table(2, ledger).rows:
        assert row[3].text in flat


def test_without_pdflatex_one_line_says_what_to_install(
    ledger: Ledger, reports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document.shutil, "which", lambda _: None)
    with pytest.raises(UserError, match="no pdflatex on this machine; install") as caught:
        write_document(ledger, reports)
    assert "\n" not in str(caught.value)


def test_when_pdflatex_stops_its_first_error_is_told(
    ledger: Ledger, reports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine without multirow: a pdflatex of our own prints what it prints there."""
    program = tmp_path / "bin" / "pdflatex"
    program.parent.mkdir()
    said = "! LaTeX Error: File 'multirow.sty' not found."
    program.write_text(f'#!/bin/sh\necho "{said}"\necho "! Emergency stop."\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    with pytest.raises(UserError, match=r"pdflatex stopped \(LaTeX Error: File 'multirow.sty' not found\); install"):
        write_document(ledger, reports)
    assert not (reports / "small" / "report.pdf").exists()


def test_every_table_of_the_source_keeps_its_own_number(ledger: Ledger) -> None:
    found = Report.model_validate_json((GOLDEN / "small" / "significance.json").read_text())
    tables = [make_table(4, ledger), make_table(2, ledger)]
    source = document.document(ledger, found.model_copy(update={"answer": "50 % & more."}), tables, ["learning-curves"])
    assert re.findall(r"\\renewcommand\{\\thetable\}\{(\w+)\}", source) == ["4", "2"]
    assert r"50 \% \& more" in source
    assert r"\includegraphics[width=\linewidth,height=0.8\textheight,keepaspectratio]{learning-curves}" in source
    assert r"\caption{Learning curves}" in source
