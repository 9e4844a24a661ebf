"""Tables against a committed ledger of made-up numbers.

After a wanted change of the tables: ferfuse report --ledger tests/golden/ledger --reports-dir tests/golden
The ledger itself is written by tests/golden/make_ledger.py.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from benchmark.config import UserError
from benchmark.ledger import Ledger, load_ledger
from benchmark.reporting.accuracy import backbone_rows, fusion_rows
from benchmark.reporting.formats import escape_latex, render, to_latex, to_markdown
from benchmark.reporting.report import make_table, write_report
from benchmark.reporting.selection import batch_averaged_accuracy
from tests.conftest import make_record, write_ledger

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture
def ledger() -> Ledger:
    return load_ledger(GOLDEN / "ledger")


def test_report_equals_the_golden_one(ledger: Ledger, tmp_path: Path) -> None:
    for path in write_report(ledger, tmp_path):
        assert path.read_text() == (GOLDEN / ledger.name / path.name).read_text()


def markdown_rows(number: int, ledger: Ledger) -> list[list[str]]:
    """The cells of a table's Markdown, escapes and marks taken away."""
    lines = [line for line in to_markdown(make_table(number, ledger)).splitlines() if line.startswith("|")]
    return [[re.sub(r"\\| †$| \*$", "", cell.strip()) for cell in line.strip("|").split("|")] for line in lines[2:]]


def written(values: list[float]) -> str:
    """Mean and sample standard deviation by numpy."""
    spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{spread}"


def accuracies(ledger: Ledger, title: str | None, names: list[str]) -> list[float]:
    """Test accuracies in percent, from the predictions."""
    found = []
    for record in ledger.records:
        if (record.titles["method"], record.titles["backbones"]) == (title, names):
            frame = ledger.predictions(record.run_id).query("split == 'test'")
            logits = frame[[f"logit_{c}" for c in range(7)]].to_numpy()
            found.append(100 * float(np.mean(np.argmax(logits, axis=1) == frame["label"])))
    return found


def test_every_number_of_tables_1_and_2_is_the_ledgers(ledger: Ledger) -> None:
    for number, columns, lines in ((1, 1, 5), (2, 3, 20)):
        rows = markdown_rows(number, ledger)
        assert len(rows) == lines
        for row in rows:
            title = row[0] if columns == 3 else None
            values = accuracies(ledger, title, row[columns - min(columns, 2) : columns])
            assert [row[columns], row[columns + 2]] == [written(values), str(len(values))]


def test_table_3_averages_the_findings(ledger: Ledger) -> None:
    rows = {row[0]: row for row in markdown_rows(3, ledger)}
    for title in ("Attention fusion", "Attention fusion (axis=batch)"):
        own = [finding for finding in ledger.audit if finding["titles"]["method"] == title]
        for column, order in enumerate(("file_order", "sorted_by_class", "shuffled", "one_by_one"), start=1):
            by_seed = [
                100 * np.mean([finding["accuracy"][order] for finding in own if finding["seed"] == seed])
                for seed in (0, 1)
            ]
            assert rows[title][column] == written(by_seed)
    assert rows["Attention fusion"][-2:] == ["0.00", "independent"]
    assert rows["Attention fusion (axis=batch)"][-1] == "depends on the batch"


def test_table_4_compares_a_pair_with_its_controls(ledger: Ledger) -> None:
    rows = {row[0]: row for row in markdown_rows(4, ledger)}
    header = make_table(4, ledger).header
    assert "Attention (axis=batch)" not in header
    row = dict(zip(header, rows["ResNet18 + ResNet34"], strict=True))
    assert row["Late"] == written(accuracies(ledger, "Late fusion", ["ResNet18", "ResNet34"]))
    singles, either, overlap, disagree = [], [], [], []
    for seed in (0, 1):
        frames = [ledger.predictions(f"backbone-{name}-{seed}") for name in ("resnet18", "resnet34")]
        right, predicted, validation = [], [], []
        for frame in frames:
            classes = frame[[f"logit_{c}" for c in range(7)]].to_numpy().argmax(1)
            is_test = (frame["split"] == "test").to_numpy()
            hits = classes == frame["label"].to_numpy()
            right.append(hits[is_test])
            predicted.append(classes[is_test])
            validation.append(hits[~is_test].mean())
        singles.append(100 * right[int(np.argmax(validation))].mean())
        either.append(100 * (right[0] | right[1]).mean())
        wrong = [~hits for hits in right]
        overlap.append(100 * (wrong[0] & wrong[1]).sum() / (wrong[0] | wrong[1]).sum())
        disagree.append(100 * (predicted[0] != predicted[1]).mean())
    assert row["Best single"] == written(singles)
    assert row["Oracle"] == written(either)
    assert row["Overlap"] == f"{np.mean(overlap):.1f}"
    assert row["Disagree"] == f"{np.mean(disagree):.1f}"
    alone = dict(zip(header, rows["Wide ResNet18 alone"], strict=True))
    assert alone["Best single"] == written(accuracies(ledger, None, ["Wide ResNet18"]))


def test_table_5_reads_three_rules_off_the_same_runs(ledger: Ledger) -> None:
    rows = {row[0]: dict(zip(make_table(5, ledger).header, row, strict=True)) for row in markdown_rows(5, ledger)}
    own = [record for record in ledger.records if record.method == "early"]
    for column, rule in (("Validation", "validation_selected"), ("Best on test", "best_test_epoch")):
        by_seed = [
            100 * np.mean([record.metrics[rule]["accuracy"] for record in own if record.seed == seed])
            for seed in (0, 1)
        ]
        assert rows["Early fusion"][column] == written(by_seed)
    assert rows["Early fusion"]["Optimism (points)"] == written([200 / 60, 200 / 60])


def test_batch_average_weighs_the_images_of_a_short_batch_more(ledger: Ledger) -> None:
    record = dataclasses.replace(ledger.records[0], hyperparameters={"batch_size": 59})
    frame = ledger.predictions(record.run_id).query("split == 'test'")
    right = frame[[f"logit_{c}" for c in range(7)]].to_numpy().argmax(1) == frame["label"].to_numpy()
    expected = (right[:59].mean() + right[59]) / 2
    assert batch_averaged_accuracy(ledger, record) == pytest.approx(expected)


def test_order_is_the_papers_then_as_asked(ledger: Ledger) -> None:
    rows = fusion_rows(ledger)
    assert list(dict.fromkeys(row.group for row in rows)) == [
        "Late fusion", "Early fusion", "Attention fusion", "Attention fusion (axis=batch)", "50%_a&b <i>",
    ]  # fmt: skip
    assert [row.names for row in rows[:2]] == [("ResNet18", "ResNet34"), ("VGG13", "ResNet34")]
    assert [row.names[0] for row in backbone_rows(ledger)][:3] == ["ResNet18", "ResNet34", "VGG13"]


def test_printed_values_stand_where_the_paper_has_one(ledger: Ledger) -> None:
    printed = {(row.group, row.names): row.printed for row in fusion_rows(ledger)}
    assert printed["Late fusion", ("ResNet18", "ResNet34")] == "86.35"
    assert printed["Attention fusion", ("VGG13", "ResNet34")] == "90.92"
    assert printed["Late fusion", ("ResNet18", "VGG13")] is None
    assert printed["Attention fusion (axis=batch)", ("ResNet18", "ResNet34")] is None
    assert [row.printed for row in backbone_rows(ledger)][:3] == ["85.3", "85.5", "85.2"]


def test_title_names_data_profile_seeds_and_selection(ledger: Ledger) -> None:
    text = to_markdown(make_table(2, ledger)).splitlines()[0]
    for words in ("SYNTHETIC", "60 test images", "profile demo", "2 seeds", "selected on validation"):
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
    assert row.accuracies == [80.0]
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
    assert {line.count(" & ") for line in body.splitlines() if line.endswith(r"\\")} == {7}


def test_batch_dependence_is_marked(ledger: Ledger) -> None:
    marked = [line for line in to_markdown(make_table(2, ledger)).splitlines() if "†" in line and line.startswith("|")]
    assert len(marked) == 4
    assert all("axis=batch" in line for line in marked)


def test_wrong_table_and_format(ledger: Ledger) -> None:
    with pytest.raises(UserError, match="no table 8"):
        make_table(8, ledger)
    with pytest.raises(UserError, match="did you mean latex"):
        render(make_table(1, ledger), "latx")


def test_latex_escapes_every_special_character() -> None:
    assert escape_latex("a&b_50%#$^~{}\\<>") == (
        r"a\&b\_50\%\#\$\textasciicircum{}\textasciitilde{}\{\}\textbackslash{}\textless{}\textgreater{}"
    )


def test_a_note_stands_only_where_its_column_does(ledger: Ledger) -> None:
    table = make_table(1, ledger)
    begins = ("The 95 % interval", "Milliseconds per image")
    assert [sum(note.startswith(words) for note in table.notes) for words in begins] == [3, 1]  # cut, and alike
    assert not [note for note in table.choose(["accuracy", "n"]).notes if note.startswith(begins)]
    assert [note for note in table.choose(["interval"]).notes if note.startswith(begins[0])]
