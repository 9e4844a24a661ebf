"""Tables against a committed ledger of made-up numbers.

After a wanted change of the tables: ferfuse report --ledger tests/golden/ledger --reports-dir tests/golden
"""

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmark.config import UserError
from benchmark.ledger import Ledger, load_ledger
from benchmark.reporting.accuracy import backbone_rows, fusion_rows
from benchmark.reporting.report import write_report
from benchmark.reporting.tables import escape_latex, make_table, render, to_latex, to_markdown
from tests.conftest import make_record, write_ledger

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture
def ledger() -> Ledger:
    return load_ledger(GOLDEN / "ledger")


def test_report_equals_the_golden_one(ledger: Ledger, tmp_path: Path) -> None:
    for path in write_report(ledger, tmp_path):
        assert path.read_text() == (GOLDEN / ledger.name / path.name).read_text()


def test_every_number_is_the_ledgers(ledger: Ledger) -> None:
    """Mean and spread recomputed by numpy, row by row of the Markdown."""
    for number, columns in ((1, 1), (2, 3)):
        lines = to_markdown(make_table(number, ledger)).splitlines()
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")][2:]
        assert len(rows) == {1: 3, 2: 14}[number]
        for row in rows:
            names, accuracy, n = row[:columns], row[columns], row[columns + 1]
            values = [
                100 * record.metrics["validation_selected"]["accuracy"]
                for record in ledger.records
                if [re.sub(r"\\", "", name) for name in names]
                == ([record.titles["method"]] if record.method else []) + record.titles["backbones"]
            ]
            assert int(n) == len(values)
            spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
            assert accuracy.removesuffix(" †") == f"{np.mean(values):.2f}{spread}"


def test_order_is_the_papers_then_as_asked(ledger: Ledger) -> None:
    rows = fusion_rows(ledger)
    assert list(dict.fromkeys(row.group for row in rows)) == [
        "Late fusion", "Early fusion", "Attention fusion", "Attention fusion (axis=batch)", "50%_a&b <i>",
    ]  # fmt: skip
    assert [row.names for row in rows[:3]] == [
        ("ResNet18", "ResNet34"), ("VGG13", "ResNet34"), ("ResNet18", "VGG13"),
    ]  # fmt: skip
    assert [row.names[0] for row in backbone_rows(ledger)] == ["ResNet18", "ResNet34", "VGG13"]


def test_printed_values_stand_where_the_paper_has_one(ledger: Ledger) -> None:
    printed = {(row.group, row.names): row.printed for row in fusion_rows(ledger)}
    assert printed["Late fusion", ("ResNet18", "ResNet34")] == "86.35"
    assert printed["Attention fusion", ("VGG13", "ResNet34")] == "90.92"
    assert printed["Late fusion", ("ResNet18", "VGG13")] is None
    assert printed["Attention fusion (axis=batch)", ("ResNet18", "ResNet34")] is None
    assert [row.printed for row in backbone_rows(ledger)] == ["85.3", "85.5", "85.2"]


def test_title_names_data_profile_seeds_and_selection(ledger: Ledger) -> None:
    text = to_markdown(make_table(2, ledger)).splitlines()[0]
    for words in ("SYNTHETIC", "35 test images", "profile demo", "1 to 3 seeds", "selected on validation"):
        assert words in text


def test_only_raf_db_is_comparable(tmp_path: Path, ledger: Ledger) -> None:
    assert "cannot be compared" in to_markdown(make_table(1, ledger))
    write_ledger(tmp_path / "raf", [make_record("backbone", None, ["resnet18"], 0, 0.8)], dataset="raf-db")
    text = to_markdown(make_table(1, load_ledger(tmp_path / "raf")))
    assert "cannot be compared" not in text
    assert "SYNTHETIC" not in text
    assert "85.3 *" not in text
    assert "85.3" in text


def test_one_seed_has_no_spread(tmp_path: Path) -> None:
    write_ledger(tmp_path / "one", [make_record("backbone", None, ["resnet18"], 0, 0.8)])
    row = backbone_rows(load_ledger(tmp_path / "one"))[0]
    assert (row.sd, row.n) == (None, 1)
    assert "pm" not in to_latex(make_table(1, load_ledger(tmp_path / "one"))).split("midrule")[1]


def test_three_branches_and_two_in_one_table(tmp_path: Path) -> None:
    records = [
        make_record("fusion", "late", ["resnet18", "vgg11"], 0, 0.8),
        make_record("fusion", "late", ["resnet18", "vgg11", "vgg13"], 0, 0.9),
    ]
    write_ledger(tmp_path / "three", records)
    table = make_table(2, load_ledger(tmp_path / "three"))
    assert "Model 3" in to_markdown(table)
    body = to_latex(table)
    assert {line.count(" & ") for line in body.splitlines() if line.endswith(r"\\")} == {6}


def test_batch_dependence_is_marked(ledger: Ledger) -> None:
    marked = [line for line in to_markdown(make_table(2, ledger)).splitlines() if "†" in line and line.startswith("|")]
    assert len(marked) == 3
    assert all("axis=batch" in line for line in marked)


def test_wrong_table_and_format(ledger: Ledger) -> None:
    with pytest.raises(UserError, match="no table 7"):
        make_table(7, ledger)
    with pytest.raises(UserError, match="did you mean latex"):
        render(make_table(1, ledger), "latx")


def test_latex_escapes_every_special_character() -> None:
    assert escape_latex("a&b_50%#$^~{}\\<>") == (
        r"a\&b\_50\%\#\$\textasciicircum{}\textasciitilde{}\{\}\textbackslash{}\textless{}\textgreater{}"
    )


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine to compile the tables with")
def test_latex_compiles(ledger: Ledger, tmp_path: Path) -> None:
    for path in write_report(ledger, tmp_path):
        shutil.copy(path, tmp_path)
    (tmp_path / "paper.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs,multirow}\begin{document}"
        r"\input{table1.tex}\input{table2.tex}\end{document}"
    )
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


def test_titles_are_kept_apart_from_markup(tmp_path: Path) -> None:
    record = make_record("fusion", "own", ["a", "b"], 0, 0.5)
    record = dataclasses.replace(record, titles={"method": "<b>|x`", "backbones": ["A", "B"]})
    write_ledger(tmp_path / "odd", [record])
    line = to_markdown(make_table(2, load_ledger(tmp_path / "odd"))).splitlines()[4]
    assert line.startswith(r"| \<b\>\|x\`")
