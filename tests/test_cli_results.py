"""The commands that read a ledger, on the golden one: formats, columns, terminal, two ledgers, PDF."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

GOLDEN = Path(__file__).resolve().parent / "golden"
COMMAND = [sys.executable, "-c", "from benchmark.cli import main; main()"]
HERE = ["--experiment", "ledger", "--results-dir", str(GOLDEN), "--reports-dir", str(GOLDEN)]
ALONE = ["--results-dir", str(GOLDEN)]


def ferfuse(*words: str | Path, status: int = 0, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"PATH": path} if path is not None else {})}
    done = subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, env=environment)
    assert done.returncode == status, done.stdout + done.stderr
    return done


def test_every_format_is_the_file_of_the_report() -> None:
    for table_format, suffix in (("markdown", "md"), ("latex", "tex"), ("csv", "csv"), ("json", "json")):
        printed = ferfuse("table", "2", *HERE, "--format", table_format).stdout
        assert printed == (GOLDEN / "small" / f"table2.{suffix}").read_text()


def test_columns_are_chosen() -> None:
    printed = ferfuse("table", "2", *HERE, "--columns", "n, milliseconds", "--format", "csv").stdout
    lines = list(csv.DictReader(io.StringIO(printed)))
    assert list(lines[0])[6:] == ["n", "milliseconds", "milliseconds_sd"]
    fault = ferfuse("table", "2", *HERE, "--columns", "n,milisecond", status=2)
    assert fault.stderr == "ferfuse: Table 2 has no column 'milisecond'; did you mean milliseconds?\n"
    fault = ferfuse("table", "2", *HERE, "--format", "html", status=2)
    assert fault.stderr.startswith("ferfuse: no table format 'html'; ")


def test_verdicts_of_another_ledger_are_not_shown(tmp_path: Path) -> None:
    assert "Nothing is tested here yet" not in ferfuse("table", "2", *HERE).stdout
    assert "Nothing is tested here yet" in ferfuse("table", "2", *HERE[:4], "--reports-dir", tmp_path).stdout


def test_on_a_terminal_a_table_is_as_wide_as_it() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "70", "TERM": "xterm"}
    with subprocess.Popen([*COMMAND, "table", "1", *HERE], stdout=theirs, env=environment) as process:
        os.close(theirs)
        text = b""
        while part := read_some(ours):
            text += part
        assert process.wait() == 0
    lines = re.sub(r"\x1b\[[\d;]*m|\r", "", text.decode()).splitlines()
    assert max(map(len, lines)) <= 70
    assert any(line.split()[:4] == ["ResNet18", "65.00", "±", "4.71"] for line in lines)
    assert not any(line.startswith("|") for line in lines)


def read_some(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux's way to say that the other end is closed
        return b""


def test_compare_takes_names_and_folders(tmp_path: Path) -> None:
    other = shutil.copytree(GOLDEN / "ledger", tmp_path / "other")
    found = json.loads(ferfuse("compare", "ledger", other, *ALONE, "--format", "json").stdout)
    assert found["title"].startswith("A beside B: 0 of 29 cells differ")
    assert {row["verdict"] for row in found["rows"]} == {"identical"}
    assert "no experiment at" in ferfuse("compare", "ledger", "nothing", *ALONE, status=2).stderr


def test_a_report_without_pdflatex_writes_all_but_the_pdf(tmp_path: Path) -> None:
    done = ferfuse("report", "--ledger", GOLDEN / "ledger", "--reports-dir", tmp_path, "--pdf", status=2, path="")
    assert len(done.stderr.splitlines()) == 1
    assert "report.pdf is not written, since there is no pdflatex on this machine; install" in done.stderr
    written = {path.name for path in (tmp_path / "small").iterdir()}
    assert written >= {"table1.md", "table2.json", "significance.json"}
    assert "report.pdf" not in written


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
def test_a_report_with_pdflatex_names_the_pdf(tmp_path: Path) -> None:
    done = ferfuse("report", "--ledger", GOLDEN / "ledger", "--reports-dir", tmp_path, "--pdf")
    assert done.stdout.splitlines()[-1] == f"wrote {tmp_path / 'small' / 'report.pdf'}"
    assert (tmp_path / "small" / "report.pdf").stat().st_size > 10_000
