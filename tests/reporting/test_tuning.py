"""Default against tuned settings, on two ledgers drawn with a known gain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.analysis.evidence import read_evidence
from benchmark.config import UserError
from benchmark.ledger import Ledger, load_ledger
from benchmark.reporting.tuning import tuning_gains, write_tuning_table
from tests.reporting.drawn import Rule, write_packed

BUDGET = {"trials": 20, "studies": 2, "epochs_per_trial": 12}
SEARCHES = {
    "attention-fusion": {
        "settings": {"width": 256},
        "stage": {"learning_rate": 0.00123456},
        "default_validation_accuracy": 0.8512,
        "validation_accuracy": 0.9,
        "budget": BUDGET,
    }
}
SMALL = {
    "methods": ("late", "early", "attention-fusion"),
    "backbones": ("resnet18", "vgg11"),
    "seeds": 5,
    "images": 400,
}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ledger, Ledger]:
    folder = tmp_path_factory.mktemp("ledgers")
    default = write_packed(folder / "demo", Rule(**SMALL))
    tuned = write_packed(folder / "demo-tuned", Rule(gains={"attention-fusion": 8}, **SMALL))
    return load_ledger(default), load_ledger(tuned)


def test_the_gain_is_the_mean_difference_over_seeds(both: tuple[Ledger, Ledger]) -> None:
    gains = {gain.method: gain for gain in tuning_gains(*map(read_evidence, both), SEARCHES)}
    assert gains["late"].difference == 0
    found = gains["attention-fusion"]
    means = []
    for ledger in both:
        records = sorted((r for r in ledger.records if r.method == "attention-fusion"), key=lambda r: r.seed)
        means.append([100 * record.metrics["validation_selected"]["accuracy"] for record in records])
    assert [found.default, found.tuned] == means
    assert found.difference == pytest.approx(sum(means[1]) / 5 - sum(means[0]) / 5)
    assert found.interval[0] < found.difference < found.interval[1]
    assert found.difference > 4


def test_the_page_says_what_was_tuned_and_whether_a_verdict_changes(
    both: tuple[Ledger, Ledger], tmp_path: Path
) -> None:
    text = write_tuning_table(*both, SEARCHES, tmp_path)
    assert (tmp_path / "demo-tuned" / "tuning.md").read_text() == text
    row = next(line for line in text.splitlines() if line.startswith("| Attention-Fusion"))
    assert "85.12 → 90.00" in row
    assert "width=256, learning_rate=0.00123" in row
    assert "2 studies of 20 trials of up to 12 epochs" in text
    assert "at its default in both columns: Late, Early." in text
    values = json.loads((tmp_path / "demo-tuned" / "tuning.json").read_text())
    default, tuned = (values["primary"][name] for name in ("default", "tuned"))
    assert tuned["late"] == "better"
    assert default["late"] != "better"
    assert f"against late: {default['late']} → better" in text


def test_without_a_change_it_says_so(both: tuple[Ledger, Ledger], tmp_path: Path) -> None:
    text = write_tuning_table(both[0], both[0], {}, tmp_path)
    assert "none of 2 changes" in text
    assert "Each tuned method" not in text


def test_other_pairs_are_refused(both: tuple[Ledger, Ledger], tmp_path: Path) -> None:
    other = load_ledger(write_packed(tmp_path / "other", Rule(**{**SMALL, "backbones": ("resnet18", "vgg13")})))
    with pytest.raises(UserError, match="other methods, seeds or pairs"):
        tuning_gains(read_evidence(both[0]), read_evidence(other), SEARCHES)
