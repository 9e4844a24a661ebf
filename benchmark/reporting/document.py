"""The report as one PDF: the answer, every table, and the figures that are there, set by pdflatex."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmark.analysis.report import Report
from benchmark.config import UserError
from benchmark.ledger import Ledger, commit_file
from benchmark.reporting.accuracy import data_name
from benchmark.reporting.formats import latex_environment, to_latex
from benchmark.reporting.pages import about_sentences, verdict_tables
from benchmark.reporting.tables import Table
from benchmark.scratch import half_made

NEEDED = "install a LaTeX system, for example texlive-latex-recommended and texlive-latex-extra"
TIME_LIMIT = 300  # seconds
REPRODUCIBLE = {"SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1"}
RESTRICTED = {"openin_any": "p", "openout_any": "p", "max_print_line": "1000"}


def write_pdf(ledger: Ledger, found: Report, tables: Sequence[Table], folder: Path) -> Path:
    """Write `folder/report.pdf` and return its path; the same ledger and figures give the same bytes.

    Args:
        found: the report of the ledger.
        tables: of the ledger; those of the verdicts come after them.
        folder: of the report; the PDF files in its `figures` are put at the end.

    Raises:
        UserError: there is no pdflatex, or it lacks a package.
    """
    if shutil.which("pdflatex") is None:
        raise UserError(f"report.pdf is not written, since there is no pdflatex on this machine; {NEEDED}")
    figures = sorted((folder / "figures").glob("*.pdf"))
    text = document(ledger, found, [*tables, *verdict_tables(found).values()], [path.stem for path in figures])
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        for path in figures:
            shutil.copy(path, work)
        (work / "report.tex").write_text(text, encoding="utf-8")
        _compile(work)
        partial = half_made(folder / "report.pdf")
        shutil.copy(work / "report.pdf", partial)
    commit_file(partial, folder / "report.pdf")
    return folder / "report.pdf"


def document(ledger: Ledger, found: Report, tables: Sequence[Table], figures: Sequence[str]) -> str:
    """Return the LaTeX source of the report."""
    return (
        latex_environment()
        .get_template("report.tex")
        .render(
            title=f"{ledger.name}: fusion methods on {data_name(ledger)}",
            paragraphs=[found.answer, *about_sentences(found)],
            tables=[(table.number, to_latex(table)) for table in tables],
            figures=[(name, name.replace("-", " ").capitalize()) for name in figures],
        )
    )


def _compile(work: Path) -> None:
    """Run pdflatex twice, the second time with the references of the first; it may read and write `work` alone."""
    command = ["pdflatex", "-no-shell-escape", "-halt-on-error", "-interaction=nonstopmode", "report.tex"]
    for _ in range(2):
        done = subprocess.run(
            command,
            cwd=work,
            env={**os.environ, **REPRODUCIBLE, **RESTRICTED},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIME_LIMIT,
        )
        if done.returncode:
            raise UserError(f"report.pdf is not written, since pdflatex stopped ({_reason(done.stdout)}); {NEEDED}")


def _reason(output: bytes) -> str:
    """Return the first error that a run of pdflatex printed."""
    found = re.search(r"^! (.+)$", output.decode(errors="replace"), re.MULTILINE)
    return found[1].strip().rstrip(".") if found else "no reason given"
