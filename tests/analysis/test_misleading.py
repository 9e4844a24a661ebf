"""What the first protocol's reports said and must not: a test for each of its twelve faults, on whole ledgers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.analysis.report import Compared, LookTaken, Report
from benchmark.ledger import load_ledger
from benchmark.reporting.formats import render
from benchmark.reporting.report import make_table
from benchmark.reporting.significance import make_significance
from tests.reporting.drawn import Rule, write_packed

PAIRS = ("resnet18", "vgg11", "vgg13", "resnet34")
INTERACTION = {"attention-fusion on resnet18+vgg11": 4.0, "attention-fusion on vgg13+resnet34": -4.0}
TWO = ("late", "attention-fusion")


def found_of(folder: Path, rule: Rule) -> Report:
    return make_significance(load_ledger(write_packed(folder / "drawn", rule)))


def primary(found: Report) -> list[Compared]:
    return [row for row in found.comparisons if row.family == "primary"]


def test_adding_seeds_until_something_shows_is_not_invited(tmp_path: Path) -> None:
    """Between looks the verdict stays that of the look, whatever the seeds after it say; the next look is named."""
    planned = found_of(tmp_path / "a", Rule(methods=TWO, seeds=8, images=300, looks=(5,)))
    at_five = found_of(tmp_path / "b", Rule(methods=TWO, seeds=5, images=300, looks=(5,)))
    assert planned.looks == LookTaken(planned=[5], current=5, alpha=0.04, reached=True, next=10)
    (row,), (before,) = primary(planned), primary(at_five)
    assert row.n_seeds == 5 < planned.n_seeds
    assert row.verdict == before.verdict
    assert "more seed" not in planned.answer


def test_where_images_decide_the_interval_over_images_is_corrected_too(tmp_path: Path) -> None:
    """Both intervals are at the level that four comparisons share."""
    rule = Rule(seeds=6, images=300, backbones=("resnet18", "vgg11"))
    one = found_of(tmp_path / "one", replace(rule, methods=TWO))
    four = found_of(tmp_path / "four", rule)
    assert {row.family_size for row in primary(four)} == {4}
    widths = {}
    for name, found in (("one", one), ("four", four)):
        row = next(row for row in primary(found) if row.baseline == "late")
        low, high = row.images_interval
        widths[name] = (high - low) / row.sd
    assert widths["four"] > 1.2 * widths["one"]


def test_no_mark_for_equal_stands_beside_different_numbers(tmp_path: Path) -> None:
    ledger = load_ledger(write_packed(tmp_path / "drawn", Rule(gains={"attention-fusion": 4.0}, seeds=5)))
    found = make_significance(ledger)
    assert "is better than" in found.answer
    assert "≈" not in render(make_table(2, ledger, found), "markdown")


def test_advice_names_its_verdict_and_its_range(tmp_path: Path) -> None:
    found = found_of(
        tmp_path,
        Rule(methods=TWO, seeds=6, images=200, gains={"attention-fusion": 2.0}, backbones=("resnet18", "vgg11")),
    )
    (row,) = primary(found)
    assert row.verdict == "open"
    advice = row.advice
    assert advice.effect == pytest.approx(abs(row.difference))
    looks = [12, 24, 48, 96, 192, 384, 768]
    assert advice.images or advice.seeds[0] in looks


def test_the_answer_is_about_the_users_own_method(tmp_path: Path) -> None:
    rule = Rule(methods=("late", "attention-fusion", "mine"), own=("mine",), gains={"mine": 4.0}, seeds=5)
    assert ": Mine is better than " in found_of(tmp_path, rule).answer


@pytest.mark.parametrize("gain", [0.0, 0.4, 0.8, 1.5])
def test_intervals_never_contradict_the_verdict_beside_them(tmp_path: Path, gain: float) -> None:
    for row in found_of(tmp_path, Rule(seeds=6, images=500, gains={"attention-fusion": gain})).comparisons:
        (low, high), (wide_low, wide_high) = row.seeds_interval, row.images_interval
        if row.verdict == "open":
            assert low <= 0 <= high
        if row.verdict in ("better", "worse"):
            assert wide_low > 0 or wide_high < 0
        assert wide_low <= low <= high <= wide_high


def test_what_is_excluded_is_said(tmp_path: Path) -> None:
    found = found_of(tmp_path, Rule(seeds=6))
    most = max(row.gain_excluded_above for row in primary(found))
    assert f"A gain above {most:.2f} points over any of the others is excluded" in found.answer
    assert (
        "the paper's claim that attention fusion is about 4 points above late, early and joint fusion is excluded"
        in found.answer
    )


def test_a_claim_is_judged_by_its_size(tmp_path: Path) -> None:
    """+1.3 is no support for "about 4 points above"."""
    found = found_of(tmp_path, Rule(gains={"attention-fusion": 1.3}, images=3000))
    claims = {claim.id: claim.verdict for claim in found.claims}
    assert claims["four-points-above"] == "excluded"
    large = found_of(tmp_path / "large", Rule(gains={"attention-fusion": 6.0}, images=3000))
    assert {claim.id: claim.verdict for claim in large.claims}["four-points-above"] == "shown"


def test_the_optimism_of_the_best_epoch_on_test_is_not_tested(tmp_path: Path) -> None:
    """It cannot be below zero."""
    written = found_of(tmp_path, Rule(methods=TWO, seeds=4, images=200)).to_json()["selection_optimism"]
    assert {name for row in written.values() for name in row} == {"difference", "sd", "n_seeds"}


def test_a_method_that_depends_on_its_batch_is_better_in_this_order_at_most(tmp_path: Path) -> None:
    found = found_of(tmp_path, Rule(methods=TWO, leaks=("attention-fusion",), gains={"attention-fusion": 6.0}))
    assert [row.verdict for row in primary(found)] == ["better in this order of the test images"]
    assert "in this order of the test images, but its predictions depend on the batch" in found.answer
    claims = {claim.id: claim.verdict for claim in found.claims}
    assert claims["fusion-beats-single-networks"] == "possible"


def test_the_best_single_network_is_never_below_each_of_them(tmp_path: Path) -> None:
    """Chosen once for all seeds, by mean validation accuracy, and so the accuracy of one network that there is."""
    rule = Rule(methods=("late",), backbones=("resnet18", "vgg11"), seeds=5, images=200)
    ledger = load_ledger(write_packed(tmp_path / "drawn", rule))
    (row,) = [row for row in make_significance(ledger).comparisons if row.family == "best-single"]
    accuracy = {
        name: [100 * r.metrics["validation_selected"]["accuracy"] for r in ledger.records if r.backbones == [name]]
        for name in rule.backbones
    }
    late = np.mean([100 * r.metrics["validation_selected"]["accuracy"] for r in ledger.of_kind("fusion")])
    assert any(row.difference == pytest.approx(late - np.mean(values), abs=1e-4) for values in accuracy.values())


def test_a_wide_interval_reproduces_nothing(tmp_path: Path) -> None:
    """A printed number inside an interval of more than two margins to either side is compatible, no more."""
    rule = Rule(backbones=("resnet18", "resnet34"), methods=("late",), seeds=5, images=3068, dataset="raf-db")
    found = found_of(tmp_path, replace(rule, accuracy=86.35))
    named = {(r.method, *sorted(r.backbones or ())): r for r in found.printed}
    row = named["late", "resnet18", "resnet34"]
    low, high = row.prediction_interval
    assert low < 86.35 < high
    assert row.verdict == ("reproduced" if high - low <= 2.0 else "compatible")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Rule(), "shows no significant difference from Late"),
        (Rule(gains={"attention-fusion": 0.2}, images=3068), "is practically equal (within ±0.5 points) to Late"),
        (Rule(gains={"attention-fusion": 1.5}, images=3068), "is better than Late"),
        (Rule(gains={"attention-fusion": 4.0}), "is better than Late"),
        (Rule(gains={"attention-fusion": 6.0}, leaks=("attention-fusion",)), "in this order of the test images"),
        (Rule(by_pair=INTERACTION, images=3068), "is practically equal (within ±0.5 points) to Late"),
    ],
    ids=["none", "+0.2", "+1.5", "+4", "a leak", "an interaction"],
)
def test_the_first_sentence_is_the_right_one(tmp_path: Path, rule: Rule, words: str) -> None:
    answer = found_of(tmp_path, rule).answer
    print(f"\n{answer}")
    assert words in answer.split(". ")[0]
    assert answer.count(". ") <= 1
    assert ("the differences depend on the pair of networks" in answer) == bool(rule.by_pair)
