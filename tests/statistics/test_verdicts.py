"""The words of the report."""

from dataclasses import replace
from math import nan

import pytest

from benchmark.statistics.verdicts import Evidence, claim_verdict, comparison_verdict, printed_verdict

CLEAR = Evidence(n_seeds=10, p_holm=0.001, t_interval=(0.8, 1.6), crossed_interval=(0.3, 2.1), equivalence_p=0.99)
OPEN = Evidence(n_seeds=10, p_holm=0.2, t_interval=(-0.2, 1.4), crossed_interval=(-0.6, 1.8), equivalence_p=0.6)


def mirrored(evidence: Evidence) -> Evidence:
    (t_low, t_high), (c_low, c_high) = evidence.t_interval, evidence.crossed_interval
    return replace(evidence, t_interval=(-t_high, -t_low), crossed_interval=(-c_high, -c_low))


def test_better_needs_holm_and_both_intervals() -> None:
    assert comparison_verdict(CLEAR) == "better"
    assert comparison_verdict(replace(CLEAR, crossed_interval=(-0.1, 2.5))) == "better on this test set"
    assert comparison_verdict(replace(CLEAR, crossed_interval=(0.0, 2.5))) == "better on this test set"
    assert comparison_verdict(replace(CLEAR, crossed_interval=(nan, nan))) == "better on this test set"
    assert comparison_verdict(replace(CLEAR, p_holm=0.06)) == "inconclusive"
    assert comparison_verdict(replace(CLEAR, t_interval=(-0.01, 1.6))) == "inconclusive"


def test_worse_mirrors_better() -> None:
    assert comparison_verdict(mirrored(CLEAR)) == "worse"
    assert comparison_verdict(mirrored(replace(CLEAR, crossed_interval=(-0.1, 2.5)))) == "worse on this test set"


def test_a_difference_inside_the_margin_is_practically_equal_even_when_it_is_not_zero() -> None:
    small = Evidence(
        n_seeds=10, p_holm=0.001, t_interval=(0.1, 0.3), crossed_interval=(0.05, 0.35), equivalence_p=0.001
    )
    assert comparison_verdict(small) == "practically equal"
    assert comparison_verdict(replace(OPEN, equivalence_p=0.04)) == "practically equal"


def test_numbers_that_could_not_be_computed_decide_nothing() -> None:
    assert comparison_verdict(OPEN) == "inconclusive"
    assert comparison_verdict(Evidence(10, nan, (nan, nan), (nan, nan), nan)) == "inconclusive"


def test_few_seeds_decide_nothing() -> None:
    equal = replace(OPEN, equivalence_p=0.0)
    for evidence, word in ((CLEAR, "better"), (mirrored(CLEAR), "worse"), (equal, "practically equal")):
        assert comparison_verdict(replace(evidence, n_seeds=3)) == word
        assert comparison_verdict(replace(evidence, n_seeds=2)) == "inconclusive"
    assert claim_verdict([replace(CLEAR, n_seeds=3)]) == "supported"
    assert claim_verdict([CLEAR, replace(CLEAR, n_seeds=2)]) == "inconclusive"
    assert claim_verdict([replace(mirrored(CLEAR), n_seeds=2)]) == "inconclusive"


def test_differences_that_are_all_alike_need_five_seeds() -> None:
    alike = replace(CLEAR, t_interval=(1.0, 1.0), p_holm=0.0)
    assert comparison_verdict(replace(alike, n_seeds=4)) == "inconclusive"
    assert comparison_verdict(replace(alike, n_seeds=5)) == "better"


def test_alpha_is_the_callers() -> None:
    assert comparison_verdict(replace(CLEAR, p_holm=0.008), alpha=0.01) == "better"
    assert comparison_verdict(replace(CLEAR, p_holm=0.012), alpha=0.01) == "inconclusive"


def test_a_claim_is_supported_by_all_of_its_comparisons() -> None:
    assert claim_verdict([CLEAR, CLEAR]) == "supported"
    assert claim_verdict([CLEAR, CLEAR], 1.0) == "supported"
    assert claim_verdict([CLEAR, CLEAR], 4.0) == "direction only"
    assert claim_verdict([CLEAR, OPEN]) == "inconclusive"
    assert claim_verdict([]) == "inconclusive"
    assert claim_verdict([Evidence(10, nan, (nan, nan), (nan, nan), nan)], 4.0) == "inconclusive"


def test_a_claim_is_contradicted_by_one_of_its_comparisons() -> None:
    assert claim_verdict([CLEAR, mirrored(CLEAR)]) == "contradicted"
    assert claim_verdict([CLEAR, OPEN], 4.0) == "contradicted"
    assert claim_verdict([replace(OPEN, equivalence_p=0.01)]) == "contradicted"
    assert claim_verdict([replace(OPEN, equivalence_p=0.01)], 0.4) == "inconclusive"


@pytest.mark.parametrize(
    ("printed", "prediction", "n_seeds", "same_data", "verdict"),
    [
        ("90.95", (85.1, 87.2), 5, True, "not reproduced"),
        ("86.35", (85.1, 87.2), 5, True, "reproduced"),
        ("84.00", (85.1, 87.2), 5, True, "not reproduced"),
        ("85.3", (85.34, 87.2), 5, True, "reproduced"),
        ("85.30", (85.34, 87.2), 5, True, "not reproduced"),
        ("90.95", (85.1, 87.2), 4, True, "inconclusive"),
        ("90.95", (nan, nan), 5, True, "inconclusive"),
        ("90.95", (85.1, 87.2), 5, False, "other data"),
    ],
)
def test_printed_numbers(
    printed: str, prediction: tuple[float, float], n_seeds: int, same_data: bool, verdict: str
) -> None:
    assert printed_verdict(printed, prediction, n_seeds, same_data=same_data) == verdict
