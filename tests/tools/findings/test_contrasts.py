"""Evaluation orders and control arms are compared seed by seed, and what is said of them follows from the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from benchmark.analysis.report import Optimism, Report
from benchmark.config import UserError
from benchmark.ledger import Ledger, Record, load_ledger
from benchmark.reporting.significance import make_significance
from benchmark.statistics.comparison import Protocol
from tests.conftest import make_record
from tests.reporting.drawn import FIVE, Rule, write_packed
from tools.findings.contrasts import (
    Answer,
    Contrast,
    Orders,
    answered,
    control_contrasts,
    evaluation_orders,
    order_contrasts,
    reading_contrasts,
)
from tools.findings.measured import Measured, fill_measured, read_measured
from tools.findings.sentences import (
    claim_words,
    comparison_sentence,
    contrast_sentence,
    independent_sentence,
    optimism_sentence,
    order_sentence,
    repetition_sentence,
)

PAIRS = [("a", "b"), ("a", "c")]
BATCH = "attention-fusion:axis=batch"


def finding(method: str, pair: list[str], seed: int, gain: float) -> dict[str, Any]:
    """An audit finding: 60 % shuffled, `gain` points more in file order, twice that sorted, half of it one by one."""
    accuracy = {name: 0.6 + share * gain / 100 for name, share in {
        "file_order": 1, "sorted_by_class": 2, "shuffled": 0, "one_by_one": 0.5,
    }.items()}  # fmt: skip
    return {
        "method": method, "backbones": pair, "seed": seed, "batch_size": 4, "accuracy": accuracy,
        "changed": {"shuffled": gain / 100, "sorted_by_class": 0.0, "one_by_one": 0.0},
        "verdict": "depends on the batch" if gain else "independent of the batch",
    }  # fmt: skip


def ledger_of(findings: list[dict[str, Any]], records: list[Record] | None = None) -> Ledger:
    """A ledger of two pairs with these findings."""
    main = {"groups": PAIRS, "methods": ["attention-fusion"], "backbones": ["a", "b", "c"]}
    ledger = Ledger("x", {"main": main}, records or [], Path("nowhere"))
    ledger.__dict__["audit"] = findings
    return ledger


def found_of(**more: Any) -> Report:
    """What the sentences need of `significance.json`."""
    titles = {"attention-fusion": "Attention", BATCH: "Batch reading", "a": "A", "b": "B", "c": "C"}
    known = {"titles": titles, "batch_dependent": [BATCH], "pairs": PAIRS, "methods": ["attention-fusion"]}
    return Report.model_construct(**{**known, **more})


def test_orders_are_compared_by_seed_on_the_mean_over_pairs() -> None:
    gains = {0: (1.0, 3.0), 1: (2.0, 4.0), 2: (3.0, 5.0)}
    findings = [finding(BATCH, PAIRS[i], seed, gains[seed][i]) for seed in gains for i in range(2)]
    findings += [finding("attention-fusion", pair, seed, 0.0) for seed in gains for pair in PAIRS]
    ledger = ledger_of(findings)
    contrasts = order_contrasts(ledger)
    assert [(one.about, [round(d, 9) for d in one.differences]) for one in contrasts] == [
        ("file_order", [2, 3, 4]), ("sorted_by_class", [4, 6, 8]), ("one_by_one", [1, 1.5, 2]),
    ]  # fmt: skip
    rows = answered(contrasts, Protocol())
    assert rows[0].p_adjusted == pytest.approx(min(1, 3 * stats.ttest_1samp([2, 3, 4], 0).pvalue), rel=1e-5)
    assert (rows[0].difference, rows[0].family_size) == (pytest.approx(3), 3)
    orders = evaluation_orders(ledger)
    assert [(row.method, row.depends) for row in orders] == [("attention-fusion", False), (BATCH, True)]
    assert orders[1].accuracy == pytest.approx(
        {"file_order": 63, "sorted_by_class": 66, "shuffled": 60, "one_by_one": 61.5}
    )
    against = reading_contrasts(ledger, found_of())
    assert [(one.about, [round(d, 9) for d in one.differences]) for one in against] == [
        ("file_order", [2, 3, 4]), ("shuffled", [0, 0, 0]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("gaps", "words"),
    [
        (
            [2.0, 2.1, 1.9],
            "it is 2.00 points above its accuracy on shuffled images [+1.72, +2.28] on this test set",
        ),
        ([-2.0, -2.1, -1.9], "it is 2.00 points below its accuracy on shuffled images [-2.28, -1.72] on this test set"),
        (
            [2.0, -3.0, 1.5],
            "it shows no significant difference from its accuracy on shuffled images (+0.17 points [-7.54, +7.88])",
        ),
        (
            [0.02, -0.01, 0.0],
            "is practically equal to its accuracy on shuffled images on this test set (+0.00 points [-0.03, +0.03])",
        ),
    ],
)
def test_what_is_said_of_file_order_follows_from_the_test(gaps: list[float], words: str) -> None:
    gap = answered([Contrast("file_order", BATCH, "file order", "shuffled", gaps)], Protocol())
    accuracy = {"file_order": 70.0, "sorted_by_class": 71.0, "shuffled": 68.0, "one_by_one": 66.0}
    sentence = order_sentence(Orders.model_construct(method=BATCH, accuracy=accuracy), gap, "Batch reading")
    assert sentence.startswith("Batch reading scores 70.00 % in file order, 71.00 % sorted by class, 68.00 % shuffled")
    assert words in sentence


def test_controls_are_compared_with_the_runs_that_they_belong_to() -> None:
    rows = {
        ("attention-fusion", "a", "b"): 0.70, ("attention-fusion", "a", "c"): 0.72,
        ("attention-fusion:partner=shuffled", "a", "b"): 0.66, ("attention-fusion:partner=shuffled", "a", "c"): 0.66,
        ("attention-fusion", "a", "a#2"): 0.69, (None, "wide"): 0.68,
    }  # fmt: skip
    records = [
        make_record("fusion" if method else "backbone", method, names, seed, accuracy + seed / 100)
        for (method, *names), accuracy in rows.items()
        for seed in range(2)
    ]
    found = control_contrasts(ledger_of([], records), found_of())
    assert [(one.about, [round(d, 9) for d in one.differences]) for one in found] == [
        ("shuffled partner", [5, 5]), ("same network twice", [2, 2]), ("one larger network", [3, 3]),
    ]  # fmt: skip
    assert [one.second for one in found] == [
        "Attention with the second network asked about another image", "Attention of A twice", "wide alone",
    ]  # fmt: skip
    flagged = found_of(batch_dependent=["attention-fusion"])
    assert control_contrasts(ledger_of([], records), flagged) == []


def told(tmp_path: Path, gain: float) -> tuple[Report, dict[str, str]]:
    """The verdicts on a drawn ledger whose attention fusion is better by so many points, and each claim's words."""
    rule = Rule(gains={"attention-fusion": gain}, methods=FIVE, seeds=6, backbones=("resnet18", "vgg11"), images=600)
    found = make_significance(load_ledger(write_packed(tmp_path / "drawn", rule)))
    return found, {claim.id: claim_words(claim, True) for claim in found.claims}


@pytest.mark.parametrize(
    ("gain", "words", "direction"),
    [(8.0, "Shown on these data", "above"), (-8.0, "Excluded on these data", "below")],
)
def test_the_words_for_a_claim_turn_with_the_numbers(tmp_path: Path, gain: float, words: str, direction: str) -> None:
    found, claims = told(tmp_path, gain)
    assert claims["four-points-above"] == claims["local-attention-helps"] == words
    assert claims["joint-best-pair"] == "Not tested in full"
    row = next(row for row in found.comparisons if row.family == "primary")
    sentence = comparison_sentence(found, row)
    assert f" points {direction} " in sentence
    assert f"{abs(row.difference):.2f} points" in sentence
    assert f"over seeds and images [{row.images_interval[0]:+.2f}, " in sentence


def test_sentences_count_what_they_speak_of() -> None:
    same = Orders.model_construct(method="attention-fusion", depends=False, changed=0.0)
    assert independent_sentence([same], found_of()) == (
        "Attention does not depend on the batch: on average 0.00 % of the predictions or fewer change."
    )
    gains = {name: Optimism(difference=gain, sd=None, n_seeds=1) for name, gain in (("m", 0.5), ("n", 1.25))}
    assert optimism_sentence(found_of(selection_optimism=gains)).endswith(
        "add 0.50 to 1.25 points, by method: a look at the test images that cannot lose."
    )
    assert repetition_sentence([]) == "No run of this ledger has been done again yet."
    assert repetition_sentence([{"verdict": "identical"}] * 2 + [{"verdict": "different"}]) == (
        "3 runs of this ledger were done again and compared: 2 are identical and 1 is different."
    )
    known = {"first": "X", "second": "Y", "verdict": "open", "difference": 1.0, "seeds_interval": (None, None)}
    row = Answer.model_construct(**known)
    assert contrast_sentence(row) == "X shows no significant difference from Y (+1.00 points)."
    assert contrast_sentence(row.model_copy(update={"verdict": "worse"})) == "X is 1.00 points below Y."


def test_measured_figures_come_from_their_file(tmp_path: Path) -> None:
    text = "takes <!-- measured: run -->2 hours<!-- /measured -->."
    (tmp_path / "measured.json").write_text(
        '{"run": {"value": 3.5, "unit": "minutes", "command": "make", "hardware": "two cores", "date": "2026-01-01"}}'
    )
    known = read_measured(tmp_path)
    assert known == {"run": Measured(3.5, "minutes", "make", "two cores", "2026-01-01")}
    assert fill_measured(text, known) == "takes <!-- measured: run -->3.5 minutes<!-- /measured -->."
    assert read_measured(tmp_path / "nowhere") == {}
    with pytest.raises(UserError, match=r"no measured figure 'run' in measured.json"):
        fill_measured(text, {})
    (tmp_path / "measured.json").write_text('{"run": {"value": 3.5}}')
    with pytest.raises(UserError, match=r"measured.json is damaged"):
        read_measured(tmp_path)
