"""Every number of every table in every format, read back and held against the ledger's files.

The expected numbers come from records.jsonl, predictions.parquet and audit.json themselves, by pandas and numpy, and
not through the ledger's reader.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark.analysis.report import Report
from benchmark.ledger import load_ledger
from benchmark.reporting.formats import escape_latex, render
from benchmark.reporting.pages import significance_page
from benchmark.reporting.report import make_table
from benchmark.reporting.tables import Table
from tests.conftest import make_record, write_ledger

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "ledger"
RULES = ("validation_selected", "last_epoch", "best_test_epoch")
ORDERS = ("file_order", "sorted_by_class", "shuffled", "one_by_one")
Row = dict[str, Any]
Rows = dict[tuple[str, ...], Row]


def raw_records() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (GOLDEN / "records.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def right() -> dict[str, pd.DataFrame]:
    """Every run's predicted class, label and split, by image."""
    frame = pd.read_parquet(GOLDEN / "predictions.parquet")
    frame["predicted"] = frame[[f"logit_{c}" for c in range(7)]].to_numpy().argmax(1)
    return {run: part.set_index("image_id") for run, part in frame.groupby("run_id")}


def spread(name: str, values: list[float]) -> Row:
    return {name: np.mean(values), f"{name}_sd": np.std(values, ddof=1)}


def accuracy_rows(kind: str, right: dict[str, pd.DataFrame]) -> Rows:
    """Tables 1 and 2."""
    rows: Rows = {}
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for record in raw_records():
        if record["kind"] == kind and "partner" not in str(record["method"]):
            name = (record["titles"]["method"], *record["titles"]["backbones"])
            groups.setdefault(tuple(filter(None, name)), []).append(record)
    for name, records in groups.items():
        tests = [right[r["run_id"]].query("split == 'test'") for r in records]
        accuracy = [100 * float((test["predicted"] == test["label"]).mean()) for test in tests]
        reach = stats.t.ppf(0.975, len(accuracy) - 1) * np.std(accuracy, ddof=1) / np.sqrt(len(accuracy))
        timed = [r["milliseconds"] for r in records if r["milliseconds"] is not None]
        rows[name] = {
            **spread("accuracy", accuracy),
            # seeds that are all alike show no spread
            **(
                {
                    "interval_low": max(0, np.mean(accuracy) - reach),
                    "interval_high": min(100, np.mean(accuracy) + reach),
                }
                if reach
                else {}
            ),
            "n": len(records),
            "parameters": records[0]["parameters"],
            "macs": records[0]["macs"],
            **(spread("milliseconds", timed) if timed else {}),
        }
    return rows


def by_seed(records: list[dict[str, Any]], number: Callable[[dict[str, Any]], float]) -> list[float]:
    frame = pd.DataFrame({"seed": [r["seed"] for r in records], "value": [100 * number(r) for r in records]})
    return frame.groupby("seed")["value"].mean().tolist()


def reading_rows() -> Rows:
    """Table 3."""
    findings = json.loads((GOLDEN / "audit.json").read_text())["findings"]
    rows: Rows = {}
    for title in dict.fromkeys(finding["titles"]["method"] for finding in findings):
        own = [finding for finding in findings if finding["titles"]["method"] == title]
        rows[title,] = {
            **{k: v for o in ORDERS for k, v in spread(o, by_seed(own, lambda f, o=o: f["accuracy"][o])).items()},
            **spread("batch_averaged", by_seed(own, lambda f: f["batch_averaged_accuracy"])),
            "changed": np.mean(by_seed(own, lambda f: max(f["changed"].values()))),
        }
    return rows


def control_rows(right: dict[str, pd.DataFrame]) -> Rows:
    """Table 4."""
    records = {(r["method"], *r["backbones"], r["seed"]): r for r in raw_records()}
    pairs = {tuple(r["backbones"]): r["titles"]["backbones"] for r in raw_records() if len(r["backbones"]) == 2}
    rows: Rows = {}
    for pair, titles in pairs.items():
        numbers: dict[str, list[float]] = {name: [] for name in ("best_single", "oracle", "disagree", "overlap")}
        for seed in (0, 1):
            both = [right[records[None, name, seed]["run_id"]] for name in pair]
            first, second = (frame.query("split == 'test'") for frame in both)
            held = [frame.query("split == 'validation'") for frame in both]
            best = int(np.argmax([(frame["predicted"] == frame["label"]).mean() for frame in held]))
            hits = [(frame["predicted"] == frame["label"]).sort_index() for frame in (first, second)]
            numbers["best_single"].append(100 * hits[best].mean())
            numbers["oracle"].append(100 * (hits[0] | hits[1]).mean())
            numbers["disagree"].append(100 * (first["predicted"] != second["predicted"].reindex(first.index)).mean())
            numbers["overlap"].append(100 * (~hits[0] & ~hits[1]).sum() / (~hits[0] | ~hits[1]).sum())
        methods = {
            method: [100 * records[method, *pair, seed]["metrics"][RULES[0]]["accuracy"] for seed in (0, 1)]
            for method in ("late", "early", "attention-fusion", "early:partner=shuffled")
        }
        rows[" + ".join(titles),] = {
            "parameters": records["attention-fusion", *pair, 0]["parameters"],
            **spread("best_single", numbers["best_single"]),
            **spread("oracle", numbers["oracle"]),
            **{name: np.mean(numbers[name]) for name in ("disagree", "overlap")},
            **{name: value for method, values in methods.items() for name, value in spread(method, values).items()},
        }
    alone = [100 * records[None, "wide-resnet18", seed]["metrics"][RULES[0]]["accuracy"] for seed in (0, 1)]
    size = {"parameters": records[None, "wide-resnet18", 0]["parameters"]}
    rows["Wide ResNet18 alone",] = {**size, **spread("best_single", alone)}
    return rows


def selection_rows(right: dict[str, pd.DataFrame]) -> Rows:
    """Table 5."""
    rows: Rows = {}
    for title in dict.fromkeys(record["titles"]["method"] for record in raw_records()):
        own = [record for record in raw_records() if record["titles"]["method"] == title]
        rules = {rule: by_seed(own, lambda r, rule=rule: r["metrics"][rule]["accuracy"]) for rule in RULES}

        def batch_averaged(record: dict[str, Any]) -> float:
            test = right[record["run_id"]].query("split == 'test'")
            hits = (test["predicted"] == test["label"]).to_numpy()
            assert len(hits) % record["hyperparameters"]["batch_size"] == 0
            return float(hits.mean())  # batches of one size: the mean of their means

        gain = np.subtract(rules["best_test_epoch"], rules["validation_selected"])
        rows[title or "Backbones alone",] = {
            **{name: value for rule in RULES for name, value in spread(rule, rules[rule]).items()},
            **spread("optimism", gain.tolist()),
            **spread("batch_averaged", by_seed(own, batch_averaged)),
            "n": 2,
        }
    return rows


@pytest.fixture(scope="module")
def expected(right: dict[str, pd.DataFrame]) -> dict[int, Rows]:
    return {
        1: accuracy_rows("backbone", right),
        2: accuracy_rows("fusion", right),
        3: reading_rows(),
        4: control_rows(right),
        5: selection_rows(right),
    }


@pytest.fixture(scope="module")
def tables() -> dict[int, Table]:
    ledger = load_ledger(GOLDEN)
    return {number: make_table(number, ledger) for number in range(1, 6)}


NAMES = {1: ["backbone_title"], 2: ["method_title", "model_1_title", "model_2_title"], 4: ["networks"]}


def machine_rows(number: int, table: Table, table_format: str) -> Rows:
    """Read CSV or JSON back: values by field, by the titles of a row."""
    text = render(table, table_format)
    lines = list(csv.DictReader(io.StringIO(text))) if table_format == "csv" else json.loads(text)["rows"]
    names = NAMES.get(number, ["method_title"])
    return {tuple(line[name] for name in names): line for line in lines}


@pytest.mark.parametrize("table_format", ["csv", "json"])
@pytest.mark.parametrize("number", range(1, 6))
def test_machines_read_the_ledgers_numbers(
    number: int, table_format: str, tables: dict[int, Table], expected: dict[int, Rows]
) -> None:
    found = machine_rows(number, tables[number], table_format)
    assert found.keys() == expected[number].keys()
    for name, row in expected[number].items():
        read = {field: float(found[name][field]) for field in row}
        assert read == pytest.approx(row, abs=1e-9)


def unmarked(cell: str) -> str:
    """Take marks, bold and escapes away."""
    cell = re.sub(r"\\multirow\[t\]\{\d+\}\{\*\}\{(.*)\}$", r"\1", cell.strip())
    cell = re.sub(r"\\textsuperscript\{.*?\}|\$\^\{\\dagger\}\$|\$\\approx\$|[†≈*]", "", cell)
    for there, back in (
        (r"\textless{}", "<"), (r"\textgreater{}", ">"), ("$-$", "-"), (r"$\pm$", "±"), ("{}", ""),
    ):  # fmt: skip
        cell = cell.replace(there, back)
    return re.sub(r"\\(.)", r"\1", cell).strip()


def markdown_lines(table: Table) -> Iterator[list[str]]:
    lines = [line for line in render(table, "markdown").splitlines() if line.startswith("|")]
    for line in lines[2:]:
        yield [unmarked(cell) for cell in line.strip("|").split("|")]


def latex_lines(table: Table) -> Iterator[list[str]]:
    """Read the rows of a tabular back, the name of a group in each of its rows."""
    text = render(table, "latex")
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    group = ""
    for line in body.splitlines():
        if line.endswith(r"\\"):
            cells = [unmarked(cell) for cell in re.split(r"(?<!\\)&", line[:-2])]
            group = cells[0] or group
            yield [group, *cells[1:]]


def is_rounded(cell: str, values: list[float], key: str) -> bool:
    """Tell whether the numbers of a cell are these values, each to the decimals that it is written with."""
    read = re.findall(r"-?\d+(?:\.\d+)?", cell)
    scale = 1e6 if key in ("parameters", "macs") else 1
    shape = {"interval": "[{}, {}]"}.get(key, "{} ± {}" if len(values) == 2 else "{}")
    if len(read) != len(values) or cell != shape.format(*read):
        return False
    decimals = [len(text.partition(".")[2]) for text in read]
    assert min(decimals) >= (key != "n")
    return all(
        abs(float(text) - value / scale) <= 0.5001 * 10.0**-places
        for text, value, places in zip(read, values, decimals, strict=True)
    )


@pytest.mark.parametrize("lines", [markdown_lines, latex_lines])
@pytest.mark.parametrize("number", range(1, 6))
def test_people_read_the_ledgers_numbers_rounded(
    number: int, lines: Callable[[Table], Iterator[list[str]]], tables: dict[int, Table], expected: dict[int, Rows]
) -> None:
    shown, seen = tables[number].without_empty_columns(), 0
    for cells in lines(tables[number]):
        row = expected[number][tuple(cells[: shown.names])]
        for column, cell in zip(shown.columns, cells, strict=True):
            fields = tuple(field for field in column.fields if field not in ("standing", "batch_dependent"))
            if column.kind != "number" or column.key == "paper":
                continue
            values = [row[field] for field in fields if field in row]
            assert is_rounded(cell, values, column.key) if values else not cell, (cells, column.key, values)
            seen += 1
    assert seen > 10


@pytest.mark.parametrize(
    ("cell", "values"), [("71.67 ± 4.71", [71.68, 4.71]), ("71.67", [71.67, 4.71]), ("71.67 4.71", [71.67, 4.71])]
)
def test_a_cell_that_says_something_else_is_caught(cell: str, values: list[float]) -> None:
    assert is_rounded("71.67 ± 4.71", [71.6666, 4.714], "accuracy")
    assert not is_rounded(cell, values, "accuracy")


def test_a_wrong_number_is_caught(tables: dict[int, Table], expected: dict[int, Rows]) -> None:
    """The negative case of both checks: one cell off by a hundredth."""
    spoilt = {name: {**row, "accuracy": row["accuracy"] + 0.01} for name, row in expected[1].items()}
    with pytest.raises(AssertionError):
        test_machines_read_the_ledgers_numbers(1, "csv", tables, {1: spoilt})
    with pytest.raises(AssertionError):
        test_people_read_the_ledgers_numbers_rounded(1, latex_lines, tables, {1: spoilt})


ODD = ("50%_a&b", "<b>bold</b>", "a|b`c*d", r"\frac{1}{2}$x$", "[x](y) #1 ~^", "naïve α → 中", '"quoted" {set}')


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Table 2 of methods whose names and titles are all special characters."""
    folder = tmp_path_factory.mktemp("odd") / "50%_a&b"
    titles = [{"method": title, "backbones": ["A_1", "<b>"]} for title in ODD]
    records = [make_record("fusion", title["method"], ["a", "b"], 0, 0.5, titles=title) for title in titles]
    write_ledger(folder, [replace(record, run_id=f"run{place}") for place, record in enumerate(records)])
    return make_table(2, load_ledger(folder))


def test_special_characters_come_back_from_machines(odd: Table) -> None:
    for table_format in ("csv", "json"):
        found = machine_rows(2, odd, table_format)
        assert {name[0] for name in found} == {line["method"] for line in found.values()} == set(ODD)
        assert {name[1:] for name in found} == {("A_1", "<b>")}


def test_special_characters_are_literal_in_markdown(odd: Table) -> None:
    """Every punctuation mark that Markdown gives a meaning is escaped, so that it shows as it is."""
    names = [re.split(r"(?<!\\)\|", line)[1].strip() for line in render(odd, "markdown").splitlines()[4:11]]
    assert sorted(re.sub(r"\\([^\w\s]|_)", r"\1", name) for name in names) == sorted(ODD)
    assert not [name for name in names if re.search(r"(?<!\\)[<>*_`|\[\]&$~]", name)]


def test_special_characters_are_literal_in_latex(odd: Table) -> None:
    text = render(odd, "latex")
    for there in (
        r"50\%\_a\&b", r"\textless{}b\textgreater{}bold", r"a\textbar{}b\`{}c\textsuperscript{*}d",
        r"\textbackslash{}frac\{1\}\{2\}\$x\$", r"[x](y) \#1 \textasciitilde{}\textasciicircum{}",
        r"naïve $\alpha$ $\to$ [U+4E2D]", "''quoted'' \\{set\\}",
    ):  # fmt: skip
        assert there in text


def test_a_new_line_in_a_title_does_not_end_the_row(tmp_path: Path) -> None:
    titles: dict[str, object] = {"method": "two\nlines", "backbones": ["A", "B"]}
    write_ledger(tmp_path / "two", [make_record("fusion", "own", ["a", "b"], 0, 0.5, titles=titles)])
    table = make_table(2, load_ledger(tmp_path / "two"))
    assert "| two lines " in render(table, "markdown")
    assert "{two lines}" in render(table, "latex")


needs_pdflatex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")


def typeset(folder: Path, body: str) -> str:
    """Compile a document and return its text, the log where it fails; overfull boxes are printed in the log."""
    (folder / "paper.tex").write_text(
        rf"\documentclass{{article}}\usepackage{{booktabs,multirow,graphicx}}\begin{{document}}{body}\end{{document}}"
    )
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull \\hbox" not in done.stdout, done.stdout[-3000:]
    return pdf_text(folder, "-layout")


def pdf_text(folder: Path, how: str) -> str:
    if shutil.which("pdftotext") is None:
        pytest.skip("no pdftotext on this machine to read the PDF with")
    command = ["pdftotext", how, "paper.pdf", "-"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def ends_of_words(folder: Path) -> list[float]:
    """Where each word of paper.pdf ends, in points from the left edge of its page, which is 612 wide."""
    return [float(end) for end in re.findall(r'<word [^>]*xMax="([\d.]+)"', pdf_text(folder, "-bbox"))]


@needs_pdflatex
def test_every_table_compiles_by_input_and_stays_on_the_page(
    tables: dict[int, Table], odd: Table, tmp_path: Path
) -> None:
    for number, table in {**tables, 9: odd}.items():
        (tmp_path / f"table{number}.tex").write_text(render(table, "latex"))
    inputs = "".join(rf"\input{{table{number}.tex}}\clearpage" for number in (1, 2, 3, 4, 5, 9))
    text = typeset(tmp_path, inputs)
    for words in ("50%", "a&b", "<b>bold</b>", "a|b", r"\frac{1}{2}$x$", "[x](y) #1", "Table 6"):
        assert words in text
    assert text.count("71.67 ± 4.71") == 2
    margin = 134  # of the class article on letter paper
    assert max(ends_of_words(tmp_path)) <= 612 - margin + 1


@needs_pdflatex
def test_no_character_stops_latex(tmp_path: Path) -> None:
    """Every character up to the end of Greek, and some beyond: an emoji, a private one, one that controls."""
    characters = [chr(code) for code in range(0x20, 0x400)] + ["\x00", "\u200b", "\ue000", "🙂", "ﬁ", "ṩ"]
    body = r"\par ".join(escape_latex(f"x{character}x") for character in characters)
    text = typeset(tmp_path, body)
    assert [escape_latex(letter) for letter in ("é", "ł", "λ", "ς", "«")] == [
        "é", "ł", r"$\lambda$", "[U+03C2]", "[U+00AB]",
    ]  # fmt: skip
    for words in ("xαx", "x[U+03DB]x", "x[U+1F642]x", "x[U+0000]x", "x[x", "x%x"):
        assert words in text


@needs_pdflatex
def test_a_table_that_is_not_scaled_down_would_be_caught(tables: dict[int, Table], tmp_path: Path) -> None:
    """The negative case of the page's edge."""
    text = render(tables[4], "latex")
    typeset(tmp_path, re.sub(r"\\ifdim.*\\fi", r"\\makebox[\\linewidth][l]{\\usebox0}", text))
    assert max(ends_of_words(tmp_path)) > 612 - 134 + 1


@needs_pdflatex
def test_a_long_table_goes_on_on_the_next_page(tables: dict[int, Table], tmp_path: Path) -> None:
    rows = [replace(cell, text=f"{cell.text} {copy}") if place == 0 else cell
            for copy in range(5) for row in tables[2].rows for place, cell in enumerate(row)]  # fmt: skip
    width = len(tables[2].columns)
    long = replace(tables[2], rows=[rows[i : i + width] for i in range(0, len(rows), width)])
    (tmp_path / "table2.tex").write_text(render(long, "latex"))
    text = typeset(tmp_path, r"\input{table2.tex}")
    assert text.count("Table 1: ") == 3
    assert text.count("Continued.") == 2
    assert sum("ResNet" in line or "VGG" in line for line in text.splitlines()) == 100


def test_the_page_of_verdicts_shows_titles_as_they_are() -> None:
    found = Report.model_validate_json((GOLDEN.parent / "small" / "significance.json").read_text())
    title = found.titles["own"]
    page = significance_page(found.model_copy(update={"answer": f"{title} is better.", "best": "own"}))
    shown = re.sub(r"\\([^\w\s]|_)", r"\1", page)
    assert shown.startswith(f"{title} is better.")
    assert f"Highest mean accuracy over pairs and seeds: {title}, " in shown
    assert not re.search(r"(?<!\\)<[a-z]", page)
