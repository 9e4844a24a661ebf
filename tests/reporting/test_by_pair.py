"""Table 2 by pairs: every number held against the ledger's files, and what LaTeX makes of it measured."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from benchmark.analysis.report import PrintedElsewhere, Report
from benchmark.config import UserError
from benchmark.ledger import load_ledger
from benchmark.reporting.beside import with_beside
from benchmark.reporting.by_pair import by_pair
from benchmark.reporting.formats import TEMPLATES, render
from benchmark.reporting.report import make_table
from benchmark.reporting.tables import Cell, Table, spread_column
from benchmark.reporting.terminal import print_table
from tests.conftest import make_record, write_ledger

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "ledger"
FOUND = Report.model_validate_json((GOLDEN.parent / "small" / "significance.json").read_text())
PAIRS = ["ResNet18 + ResNet34", "VGG13 + ResNet34", "ResNet18 + ResNet18 (#2)", "ResNet18 + VGG13"]


@pytest.fixture(scope="module")
def table() -> Table:
    return make_table(2, load_ledger(GOLDEN), FOUND, "pairs")


@pytest.fixture(scope="module")
def expected() -> pd.DataFrame:
    """Accuracy in percent by title of the method, pair and seed, from the predictions themselves."""
    frame = pd.read_parquet(GOLDEN / "predictions.parquet").query("split == 'test'")
    frame["right"] = 100.0 * (frame[[f"logit_{c}" for c in range(7)]].to_numpy().argmax(1) == frame["label"])
    accuracy = frame.groupby("run_id")["right"].mean()
    lines = map(json.loads, (GOLDEN / "records.jsonl").read_text().splitlines())
    runs = [line for line in lines if line["kind"] == "fusion" and "partner" not in line["method"]]
    return pd.DataFrame(
        {
            "method": [run["titles"]["method"] for run in runs],
            "pair": [" + ".join(run["titles"]["backbones"]) for run in runs],
            "seed": [run["seed"] for run in runs],
            "accuracy": [accuracy[run["run_id"]] for run in runs],
        }
    )


def numbers(cell: Cell) -> tuple[Any, ...]:
    return cell.values  # noqa: PD011 - not of pandas


def test_cells_and_means_are_those_of_the_predictions(table: Table, expected: pd.DataFrame) -> None:
    assert [column.title for column in table.columns] == ["Fusion method", "Mean", *PAIRS]
    for row in table.rows:
        own = expected[expected["method"] == row[0].text]
        series = [own.groupby("seed")["accuracy"].mean(), *(own[own["pair"] == p]["accuracy"] for p in PAIRS)]
        for cell, values in zip(row[1:], series, strict=True):
            mean, sd = numbers(cell)
            assert (mean, sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
            assert cell.text == f"{mean:.2f} ± {sd:.2f}"
    assert len(table.rows) == 5


def test_the_mean_is_what_the_verdicts_are_about(table: Table) -> None:
    means = {numbers(row[0])[0]: numbers(row[1])[0] for row in table.rows}
    assert means == pytest.approx(FOUND.accuracy, abs=1e-4)


@pytest.mark.parametrize("form", ["markdown", "latex"])
def test_people_read_every_cell_as_it_is(form: str, table: Table) -> None:
    of_rows = render(replace(table, notes=[]), form)
    lines = [line for line in of_rows.splitlines() if re.search(r"\d\.\d\d .*\d\.\d\d", line)]
    read = [re.findall(r"\d+\.\d\d", line) for line in lines]
    assert read == [[number for cell in row[1:] for number in cell.text.split(" ± ")] for row in table.rows]


def test_only_what_is_shown_has_a_note_and_the_verdict_stands_above(table: Table) -> None:
    text = render(table, "markdown")
    assert "Milliseconds" not in text
    assert "95 % interval" not in text
    assert "cannot be compared" not in text
    assert text.index("On the mean over pairs Attention fusion is highest") < text.index("| Fusion method")
    assert "| Attention fusion (axis=batch) † |" in text


def test_latex_is_short_above_and_labelled_by_experiment(table: Table) -> None:
    text = render(replace(table, experiment="reference/open-faces"), "latex")
    caption = re.findall(r"\\caption\{(.*)\}", text)
    assert caption == [r"Test accuracy (\%) of fusion methods on synthetic faces (SYNTHETIC, drawn images), 2 seeds."]
    assert r"\label{tab:ferfuse-reference-open-faces-2}" in text
    assert r"\begin{table*}" in text
    assert "resizebox" not in text


def test_a_method_without_a_pair_has_no_mean_and_one_pair_needs_none(tmp_path: Path) -> None:
    records = [
        make_record("fusion", "late", ["resnet18", "vgg11"], 0, 0.8),
        make_record("fusion", "late", ["resnet18", "vgg13"], 0, 0.9),
        make_record("fusion", "early", ["resnet18", "vgg11"], 0, 0.7),
    ]
    write_ledger(tmp_path / "two", records)
    rows = {numbers(row[0])[0]: row for row in make_table(2, load_ledger(tmp_path / "two"), layout="pairs").rows}
    assert [cell.text for cell in rows["late"][1:]] == ["85.00", "80.00", "90.00"]
    assert [cell.text for cell in rows["early"][1:]] == ["", "70.00", ""]
    write_ledger(tmp_path / "one", records[::2])
    table = make_table(2, load_ledger(tmp_path / "one"), layout="pairs")
    assert [cell.text for cell in table.rows[0][1:]] == ["80.00"]
    assert "pm" not in render(table, "latex").split("midrule")[1]


def test_the_papers_numbers_stand_below_a_method_on_the_papers_data(tmp_path: Path) -> None:
    pairs = (["resnet18", "resnet34"], ["vgg13", "resnet34"], ["resnet18", "vgg13"])
    write_ledger(tmp_path / "raf", [make_record("fusion", "early", pair, 0, 0.8) for pair in pairs], dataset="raf-db")
    table = make_table(2, load_ledger(tmp_path / "raf"), layout="pairs")
    assert r"& \multicolumn{2}{c}{86.66} & \multicolumn{2}{c}{85.49} &" in render(table, "latex")
    assert [[cell.text for cell in row] for row in table.rows][1] == [
        "as the paper prints it", "", "86.66", "85.49", "",
    ]  # fmt: skip


def test_a_number_of_others_stands_under_its_networks_or_the_mean() -> None:
    ledger = load_ledger(GOLDEN)
    rows = [
        PrintedElsewhere(method="Theirs", networks="", accuracy="88.1", source="A 2024"),
        PrintedElsewhere(method="Other", networks="ResNet50", accuracy="89", source="B 2025"),
    ]
    table = by_pair(with_beside(make_table(2, ledger), rows), ledger, None)
    shown = [[cell.shown.strip() for cell in row] for row in table.rows[-2:]]
    assert shown == [["Theirs ‡", "88.1", "", "", "", ""], ["Other (ResNet50) ‡", "89", "", "", "", ""]]


def test_a_wrong_layout_is_answered() -> None:
    with pytest.raises(UserError, match="no layout 'pair'; did you mean pairs"):
        make_table(2, load_ledger(GOLDEN), layout="pair")


def wider(table: Table, pairs: int) -> Table:
    """The table with more pairs, a number of three digits, and a method in bold."""
    columns = [*table.columns[:2], *(spread_column(f"p{place}", PAIRS[place % 4]) for place in range(pairs))]
    rows: list[list[Cell]] = [[*row[:2], *(row[2 + place % 4] for place in range(pairs))] for row in table.rows]
    rows[0][2] = Cell("100.00 ± 12.34", (100.0, 12.34))
    rows[1][1:] = [replace(cell, is_best=True) for cell in rows[1][1:]]
    rows[2][0] = Cell("Attention fusion without local attention", ("x", "x"))
    return replace(table, columns=columns, rows=rows)


@pytest.mark.parametrize("pairs", [2, 4, 6, 10])
@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_on_a_terminal_no_pair_is_left_out_and_no_line_is_over_100(table: Table, pairs: int, width: int) -> None:
    console = Console(width=width, file=io.StringIO())
    print_table(shown := wider(table, pairs), console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= min(width, 100)
    assert all(text.count(cell.text) for row in shown.rows for cell in row[1:])
    assert "Not shown" not in text


needs_latex = pytest.mark.skipif(
    not (shutil.which("pdflatex") and shutil.which("pdftotext")), reason="no pdflatex or pdftotext on this machine"
)


@needs_latex
@pytest.mark.parametrize(
    "layout",
    [
        r"\documentclass{article}\usepackage[textwidth=122mm]{geometry}",  # LNCS
        r"\documentclass[twocolumn]{article}\usepackage[letterpaper,textwidth=6.875in]{geometry}",  # CVPR
        r"\documentclass[twocolumn]{article}\usepackage[letterpaper,textwidth=516pt]{geometry}",  # IEEEtran
    ],
)
def test_it_fits_what_papers_are_set_in_at_8_points(layout: str, table: Table, tmp_path: Path) -> None:
    """As siunitx sets it where there is one, else as the report's own stand-in does."""
    siunitx = (TEMPLATES / "report.tex").read_text().split(r"\makeatletter")[1].split(r"\makeatother")[0]
    for pairs in (2, 4, 6):
        (tmp_path / f"p{pairs}.tex").write_text(render(wider(table, pairs), "latex"))
    packages = rf"\usepackage{{array,booktabs}}\makeatletter{siunitx}\makeatother"
    body = r"{\fontsize{8}{9.5}\selectfont 88.88} \input{p2.tex}\input{p4.tex}\input{p6.tex}"
    (tmp_path / "paper.tex").write_text(rf"{layout}{packages}\begin{{document}}Text {body}\end{{document}}")
    command: dict[str, Any] = {"cwd": tmp_path, "capture_output": True, "text": True, "errors": "replace"}
    done = subprocess.run(["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"], **command)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    boxes = subprocess.run(["pdftotext", "-bbox", "paper.pdf", "-"], **command).stdout
    words = re.findall(r'yMin="([\d.]+)"[^>]*yMax="([\d.]+)">(\d\d\.\d\d)<', boxes)
    heights = {text: float(bottom) - float(top) for top, bottom, text in words}
    assert len(heights) > 20
    assert min(heights.values()) == pytest.approx(heights["88.88"], abs=0.01)
