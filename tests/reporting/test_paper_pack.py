"""A paper's pack says what the ledger says."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from pathlib import Path

import pytest

from benchmark.config import UserError
from benchmark.ledger import Ledger, load_ledger
from benchmark.reporting.paper_pack import About, write_pack

GOLDEN = Path(__file__).parents[1] / "golden" / "ledger"
ABOUT = About({"late": "Kittler et al. 1998", "resnet18": "He et al. 2016"}, labels_stay=False)


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return load_ledger(GOLDEN)


@pytest.fixture(scope="module")
def pack(ledger: Ledger, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack")
    write_pack(ledger, folder / "reports", folder / "pack", ABOUT)
    return folder / "pack"


def test_tables_and_figures_are_those_of_the_report(pack: Path, ledger: Ledger) -> None:
    report = pack.parent / "reports" / ledger.name
    copies = [*(pack / "tables").iterdir(), *(pack / "figures").iterdir()]
    assert {path.suffix for path in copies} == {".tex", ".md", ".pdf"}
    for path in copies:
        original = report / path.name if path.suffix != ".pdf" else report / "figures" / path.name
        assert path.read_bytes() == original.read_bytes()


def test_compute_adds_up(pack: Path, ledger: Ledger) -> None:
    text = (pack / "compute.md").read_text()
    rows = [line.split("|")[1:5] for line in text.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert sum(int(row[1]) for row in rows) == len(ledger.records)
    total = sum(record.seconds for record in ledger.records)
    assert sum(int(row[1]) * float(row[2]) for row in rows) == pytest.approx(total, rel=0.01)
    assert f"{total / 3600:.2f} hours of training" in text


def test_the_checklist_answers_from_the_ledger(pack: Path, ledger: Ledger) -> None:
    text = (pack / "checklist.md").read_text()
    known = ledger.experiment
    seeds = {record.seed for record in ledger.records}
    for expected in (
        f"digest {known['dataset']['digest']}",
        f"{len(seeds)} seeds for every network",
        f"{len(ledger.records)} runs in all",
        f"| seeds | {known['settings']['seeds']} |",
    ):
        assert expected in text, expected
    assert "{" not in text
    assert len(re.findall(r"to be answered by the authors", text, re.IGNORECASE)) >= 2


def test_croissant_describes_the_file_of_names_beside_it(pack: Path, ledger: Ledger) -> None:
    described = json.loads((pack / "croissant.json").read_text())
    content = (pack / "test-images.csv").read_bytes()
    (file,), (records,) = described["distribution"], described["recordSet"]
    assert (pack / file["contentUrl"]).is_file()
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    rows = list(csv.DictReader(content.decode().splitlines()))
    assert [field["source"]["extract"]["column"] for field in records["field"]] == list(rows[0])
    frame = ledger.predictions(ledger.of_kind("backbone")[0].run_id).query("split == 'test'")
    classes = ledger.experiment["dataset"]["classes"]
    told = {row["image_id"]: row["label"] for row in rows}
    assert told == {name: classes[label] for name, label in zip(frame["image_id"], frame["label"], strict=True)}


def test_every_method_and_network_has_a_citation(pack: Path, ledger: Ledger) -> None:
    text = (pack / "references.bib").read_text()
    assert "note = {Kittler et al. 1998}" in text
    assert text.count("{") == text.count("}")
    assert "@misc{attention-fusion,\n  title = {{attention-fusion}},\n  note = {not registered here" in text


def test_labels_that_must_stay_are_not_written(ledger: Ledger, tmp_path: Path) -> None:
    write_pack(ledger, tmp_path / "reports", tmp_path / "pack", About({}, labels_stay=True))
    assert (tmp_path / "pack" / "test-images.csv").read_text().splitlines()[0] == "image_id"
    assert "test-images/label" not in (tmp_path / "pack" / "croissant.json").read_text()


def test_a_folder_with_files_is_not_written_into(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UserError, match="is there already and not empty; give another folder"):
        write_pack(ledger, tmp_path / "reports", tmp_path, ABOUT)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
