"""Images without a test set, from the list to the verdict: every seed tests on its own fold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmark.analysis.evidence import read_evidence
from benchmark.audit.batch_dependence import audit_experiment
from benchmark.config import Settings, UserError, load_config
from benchmark.data.formats.raf_db import read_raf_db
from benchmark.engine.experiment import Request, finished_runs, run_experiment
from benchmark.ledger import Ledger, load_ledger
from benchmark.reporting.formats import to_markdown
from benchmark.reporting.report import make_table, write_report
from benchmark.statistics.paired import corrected_resampled_t_test
from tests.conftest import NARROW, TINY


class Silent:
    def planned(self, runs: object, to_do: object) -> None: ...

    def ended(self, run: object, outcome: object) -> None: ...


def folds_settings(root: Path, **data: object) -> Settings:
    given = {f"data.{name}": value for name, value in data.items()}
    return load_config(
        "demo",
        TINY
        | {"data.root": root, "data.dataset": "csv", "seeds": 3, "fusion_stage.epochs": 1}
        | {"methods": ["late", "attention-fusion"], "backbones": NARROW}
        | given,
    )


@pytest.fixture(scope="module")
def listed(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn faces as a list without a split: 168 images, and a person for every eight of them."""
    root = tmp_path_factory.mktemp("listed")
    manifest = read_raf_db(faces)
    lines = ["image,label,group"]
    for row, file in enumerate(manifest.files):
        (root / file.name).write_bytes(file.read_bytes())
        lines.append(f"{file.name},{manifest.classes[manifest.labels[row]]},person{row % 21}")
    (root / "manifest.csv").write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def request_(listed: Path, tmp_path_factory: pytest.TempPathFactory) -> Request:
    """A finished experiment of three folds that leave persons out."""
    folder = tmp_path_factory.mktemp("run")
    settings = folds_settings(listed, split="groups", test_folds=3)
    request = Request(settings, "folds", folder / "results", folder / "data", "cpu", workers=1)
    summary = run_experiment(request, Silent())
    assert not summary.failures
    return request


@pytest.fixture(scope="module")
def ledger(request_: Request) -> Ledger:
    return load_ledger(request_.folder)


def test_each_image_is_tested_on_by_one_seed_of_three(ledger: Ledger) -> None:
    tested = []
    for record in ledger.of_kind("backbone")[:3]:
        frame = ledger.predictions(record.run_id)
        tested += frame.loc[frame["split"] == "test", "image_id"].tolist()
    assert len(tested) == len(set(tested)) == 168
    assert ledger.experiment["dataset"]["images"]["test"] == ledger.experiment["dataset"]["images"]["train"]
    assert ledger.experiment["data"]["split"] == "groups"


def test_comparisons_use_the_corrected_test(ledger: Ledger, tmp_path: Path) -> None:
    write_report(ledger, tmp_path)
    found = json.loads((tmp_path / "folds" / "significance.json").read_text())
    assert found["protocol"]["test_share"] == pytest.approx(1 / 3)
    (row,) = [row for row in found["comparisons"] if row["family"] == "primary"]
    records = {(r.method, r.seed): r.metrics["validation_selected"]["accuracy"] for r in ledger.of_kind("fusion")}
    differences = 100 * np.array([records["attention-fusion", s] - records["late", s] for s in range(3)])
    assert row["difference"] == pytest.approx(differences.mean(), rel=1e-4)
    assert row["p_adjusted"] == pytest.approx(corrected_resampled_t_test(differences, 1 / 3)[1], rel=1e-4)
    assert row["sd"] == pytest.approx(differences.std(ddof=1), rel=1e-4)
    assert "Nadeau and Bengio" in (tmp_path / "folds" / "significance.md").read_text()
    assert "every seed tests on another part" in to_markdown(make_table(2, ledger))


def test_evidence_counts_all_images_and_knows_each_seeds_own(ledger: Ledger) -> None:
    evidence = read_evidence(ledger)
    assert evidence.n_images == 168
    assert evidence.test_share == pytest.approx(1 / 3)
    assert evidence.correct("late").shape == (3, 1, 1)


def test_the_audit_evaluates_each_seed_on_its_own_fold(request_: Request, ledger: Ledger) -> None:
    runs, workspace = finished_runs(request_)
    findings = audit_experiment(runs, ["attention-fusion"], workspace)
    assert [finding.seed for finding in findings] == [0, 1, 2]
    for finding in findings:
        frame = ledger.predictions(finding.run_id).query("split == 'test'").reset_index(drop=True)
        right = frame.filter(like="logit_").to_numpy().argmax(axis=1) == frame["label"]
        assert finding.accuracy["file_order"] == pytest.approx(right.mean())
        batches = right.groupby(right.index // finding.batch_size).mean()
        assert finding.batch_averaged_accuracy == pytest.approx(batches.mean())
        rows = [workspace.manifest.image_ids.index(name) for name in frame["image_id"]]
        assert rows == sorted(rows), "file order"


def test_persons_that_folds_would_part_stop_the_experiment(listed: Path, tmp_path: Path) -> None:
    settings = folds_settings(listed, split="kfold")
    request = Request(settings, "folds", tmp_path / "results", tmp_path / "data", "cpu", workers=1)
    with pytest.raises(UserError, match=r"person-overlap: 21 persons whose images folds part.*--accept person-overlap"):
        run_experiment(request, Silent())
    assert not (tmp_path / "results").exists()
