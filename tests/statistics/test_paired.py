"""One difference per seed: the t test, and what is refused."""

import math

import numpy as np
import pytest
from scipy import stats

from benchmark.statistics.paired import (
    corrected_resampled_t_test,
    paired_t_test,
    stretched,
)

SLEEP = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]


def test_t_test_gives_students_published_example() -> None:
    """Student 1908, hours of additional sleep: t = 4.0621, p = 0.002833, interval 0.7001 to 2.4599."""
    result = paired_t_test(SLEEP)
    assert result.n_seeds == 10
    assert result.mean == pytest.approx(1.58)
    assert result.t == pytest.approx(4.0621, abs=5e-5)
    assert result.p_value == pytest.approx(0.002833, abs=5e-7)
    assert result.interval == pytest.approx((0.7001, 2.4599), abs=5e-5)


def test_t_test_agrees_with_the_formula_on_random_data() -> None:
    rng = np.random.default_rng(1)
    for n_seeds in (2, 3, 5, 10, 30):
        method, baseline = rng.normal(size=(2, n_seeds))
        result = paired_t_test(method - baseline, confidence=0.9)
        library = stats.ttest_rel(method, baseline)
        half = stats.t.ppf(0.95, n_seeds - 1) * result.sd / math.sqrt(n_seeds)
        assert result.t == pytest.approx(library.statistic, rel=1e-10)
        assert result.p_value == pytest.approx(library.pvalue, rel=1e-10)
        assert result.sd == pytest.approx(np.std(method - baseline, ddof=1), rel=1e-10)
        assert result.interval == pytest.approx((result.mean - half, result.mean + half), rel=1e-10)


def test_one_seed_has_a_mean_and_no_spread() -> None:
    result = paired_t_test([0.7])
    assert result.mean == 0.7
    assert all(math.isnan(value) for value in (result.sd, result.t, result.p_value, *result.interval))


@pytest.mark.parametrize("value", [0.1, -0.1])
def test_differences_that_are_alike_up_to_rounding_are_decided_without_a_warning(value: float) -> None:
    result = paired_t_test([value, value * (1 + 1e-15), value])
    assert (result.sd, result.p_value, result.t) == (0.0, 0.0, math.copysign(math.inf, value))
    assert result.interval == pytest.approx((value, value))


def test_no_difference_anywhere() -> None:
    result = paired_t_test([0.0] * 5)
    assert (result.t, result.p_value, result.interval) == (0.0, 1.0, (0.0, 0.0))


@pytest.mark.parametrize("differences", [[], [[1.0, 2.0]], [1.0, math.nan], [1.0, math.inf]])
def test_what_is_not_one_finite_number_per_seed_is_refused(differences: list[float]) -> None:
    with pytest.raises(ValueError, match="seed"):
        paired_t_test(differences)


def test_corrected_resampled_t_enlarges_the_variance() -> None:
    """Ten folds: variance 1/10 + (1/10)/(9/10) = 0.2111 instead of 0.1, so t shrinks by √(0.1 / 0.2111)."""
    t, p_value = corrected_resampled_t_test(SLEEP, 0.1)
    assert t == pytest.approx(paired_t_test(SLEEP).t * math.sqrt(0.1 / (0.1 + 1 / 9)), rel=1e-10)
    assert p_value == pytest.approx(2 * stats.t.sf(t, 9), rel=1e-10)
    assert corrected_resampled_t_test([0.0, 0.0], 0.5) == (0.0, 1.0)
    with pytest.raises(ValueError, match="test share"):
        corrected_resampled_t_test(SLEEP, 1.0)


def test_the_plain_test_of_stretched_differences_is_the_corrected_one() -> None:
    differences = np.random.default_rng(3).normal(0.4, 1, 10)
    plain = paired_t_test(stretched(differences, 0.1))
    assert (plain.t, plain.p_value) == pytest.approx(corrected_resampled_t_test(differences, 0.1), rel=1e-12)
    error = differences.std(ddof=1) * math.sqrt(1 / 10 + 1 / 9)
    half = stats.t.isf(0.025, 9) * error
    assert plain.interval == pytest.approx((differences.mean() - half, differences.mean() + half), rel=1e-12)
    np.testing.assert_array_equal(stretched(differences, 0.0), differences.mean() + (differences - differences.mean()))
