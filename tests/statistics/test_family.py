"""Several comparisons read together: Holm, equivalence, and the two beside the t test."""

import math

import numpy as np
import pytest
from benchmark.statistics.equivalence import equivalence_p_value
from benchmark.statistics.family import compare_family
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from benchmark.statistics.multiplicity import holm
from benchmark.statistics.paired import Refusal, corrected_resampled_t_test, paired_t_test, sign_flip_test


def test_holm_by_hand() -> None:
    """0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 is 0.02, 0.03, 0.06, 0.04; made monotone the last is 0.06."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02], rel=1e-12)


def test_holm_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(2)
    for count in (1, 2, 7, 40):
        p_values = np.round(rng.random(count) ** 3, 2)
        expected = multipletests(p_values, method="holm")[1]
        np.testing.assert_allclose(holm(p_values), expected, rtol=1e-12)


def test_holm_leaves_out_tests_that_were_not_made() -> None:
    adjusted = holm([0.01, None, 0.04, math.nan])
    assert adjusted[[0, 2]] == pytest.approx([0.02, 0.04], rel=1e-12)
    assert np.isnan(adjusted[[1, 3]]).all()
    assert np.isnan(holm([None, None])).all()
    assert holm([]).size == 0


def test_holm_refuses_what_is_no_p_value() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.01, 2.3])


def test_equivalence_is_the_larger_of_two_one_sided_t_tests() -> None:
    rng = np.random.default_rng(2)
    for n_seeds in (2, 5, 10):
        differences = rng.normal(0.1, 0.3, size=n_seeds)
        low = stats.ttest_1samp(differences, -0.5, alternative="greater").pvalue
        high = stats.ttest_1samp(differences, 0.5, alternative="less").pvalue
        p_value = equivalence_p_value(differences, 0.5)
        assert p_value == pytest.approx(max(low, high), rel=1e-10)
        assert p_value == pytest.approx(DescrStatsW(differences).ttost_mean(-0.5, 0.5)[0], rel=1e-10)


def test_equivalence_is_the_ninety_percent_interval_inside_the_margin() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        differences = rng.normal(0.2, 0.3, size=6)
        low, high = paired_t_test(differences, confidence=0.9).interval
        assert (equivalence_p_value(differences, 0.5) <= 0.05) == (low > -0.5 and high < 0.5)


def test_equivalence_without_spread_and_with_one_seed() -> None:
    assert equivalence_p_value([0.1, 0.1, 0.1], 0.5) == 0
    assert equivalence_p_value([0.5, 0.5, 0.5], 0.5) == 1
    assert math.isnan(equivalence_p_value([0.1], 0.5))
    with pytest.raises(ValueError, match="margin"):
        equivalence_p_value([0.1, 0.2], 0.0)


def test_a_family_corrects_over_its_own_rows() -> None:
    differences = np.random.default_rng(4).normal(0.3, 0.4, size=(4, 10))
    family = compare_family(differences, margin=0.4)
    assert [one.p_holm for one in family] == pytest.approx(holm([one.paired.p_value for one in family]), rel=1e-12)
    for row, one in zip(differences, family, strict=True):
        assert one.paired == paired_t_test(row)
        assert one.sign_flip == sign_flip_test(row)
        assert one.equivalence_p == equivalence_p_value(row, 0.4)


def test_a_family_of_pairs_keeps_the_order_of_baselines_and_pairs() -> None:
    differences = np.random.default_rng(5).normal(size=(4, 6, 5))
    family = compare_family(differences.reshape(24, 5))
    assert family[1 * 6 + 2].paired.mean == pytest.approx(differences[1, 2].mean())
    assert all(isinstance(one.sign_flip, Refusal) for one in family)


def test_one_seed_is_described_and_not_tested() -> None:
    (only,) = compare_family([[0.4]])
    assert only.paired.mean == 0.4
    assert math.isnan(only.p_holm)
    assert math.isnan(only.equivalence_p)


def test_a_family_needs_rows() -> None:
    with pytest.raises(ValueError, match="one row per comparison"):
        compare_family([0.1, 0.2])


def test_splits_of_one_data_set_are_corrected_for_their_overlap() -> None:
    rows = np.random.default_rng(0).normal(0.8, 0.6, (2, 10))
    corrected, plain = compare_family(rows, margin=3, test_share=0.1), compare_family(rows, margin=3)
    expected = [corrected_resampled_t_test(row, 0.1)[1] for row in rows]
    assert [one.paired.p_value for one in corrected] == pytest.approx(expected, rel=1e-12)
    assert [one.p_holm for one in corrected] == pytest.approx(holm(expected), rel=1e-12)
    for one, other in zip(corrected, plain, strict=True):
        assert one.paired.sd == other.paired.sd
        assert one.paired.p_value > other.paired.p_value
        assert one.equivalence_p > other.equivalence_p
        assert isinstance(one.sign_flip, Refusal)
        assert not isinstance(other.sign_flip, Refusal)
