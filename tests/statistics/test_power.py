"""What the seeds could have shown."""

import math
from math import inf, isfinite, sqrt

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from benchmark.statistics.power import Advice, Aim, Plan, advise, minimum_detectable_difference, t_test_power


@pytest.mark.parametrize("n_seeds", [2, 3, 5, 10, 30, 100])
@pytest.mark.parametrize("alpha", [0.05, 0.0125, 0.001])
def test_power_agrees_with_statsmodels(n_seeds: int, alpha: float) -> None:
    for noncentrality in (0.0, 0.5, 1.3, 2.9, 4.7, 6.0):
        size = noncentrality / sqrt(n_seeds)
        library = TTestPower().power(size, n_seeds, alpha)
        if isfinite(library):
            assert t_test_power(2 * size, 2.0, n_seeds, alpha) == pytest.approx(library, abs=1e-10)
            assert t_test_power(-2 * size, 2.0, n_seeds, alpha) == pytest.approx(library, abs=1e-10)


def test_power_stays_a_number_where_the_noncentral_t_of_scipy_does_not() -> None:
    assert t_test_power(8.0, 1.0, 2) == pytest.approx(0.62528, abs=5e-6)
    assert t_test_power(40.0, 1.0, 10) == pytest.approx(1.0)


@pytest.mark.parametrize(("n_seeds", "alpha"), [(2, 0.05), (5, 0.05), (5, 0.0125), (10, 0.05), (30, 0.01)])
def test_detectable_difference_has_the_aimed_power(n_seeds: int, alpha: float) -> None:
    aim = Aim(alpha=alpha, power=0.9)
    difference = minimum_detectable_difference(0.4, n_seeds, aim)
    assert t_test_power(difference, 0.4, n_seeds, alpha) == pytest.approx(0.9, abs=1e-9)


def test_detectable_difference_agrees_with_statsmodels() -> None:
    for n_seeds in (5, 10, 20):
        difference = minimum_detectable_difference(0.4, n_seeds)
        assert TTestPower().power(difference / 0.4, n_seeds, 0.05) == pytest.approx(0.8, abs=1e-10)
        solved = TTestPower().solve_power(nobs=n_seeds, alpha=0.05, power=0.8)
        assert difference == pytest.approx(0.4 * solved, rel=1e-6)


def test_one_seed_detects_nothing_and_no_spread_everything() -> None:
    assert minimum_detectable_difference(0.4, 1) == inf
    assert minimum_detectable_difference(0.0, 5) == 0
    assert (t_test_power(0.1, 0.0, 5), t_test_power(0.0, 0.0, 5)) == (1.0, 0.0)


def test_advice_is_the_looks_at_which_the_observed_size_would_be_shown() -> None:
    """By hand: every look from the next on, with the spread at both ends of its 80 % interval."""
    differences = 1.0 + np.array([-1.6, -0.9, -0.2, 0.1, 0.3, 0.4, 0.5, -0.7, 1.2, 0.9])
    plan = Plan((10,), 4)
    advice = advise(differences, 0.0, 900, plan, 0.5)
    assert advice is not None
    sd = differences.std(ddof=1)
    tails = [math.sqrt(9 / stats.chi2.ppf(share, 9)) for share in (0.9, 0.1)]
    levels = {20: 0.1 * 0.05 / 4, 40: 0.05 * 0.05 / 4, 80: 0.025 * 0.05 / 4}
    wanted = [next(n for n, level in levels.items() if t_test_power(1.0, tail * sd, n, level) >= 0.8) for tail in tails]
    assert advice.effect == pytest.approx(1.0)
    assert advice.seeds == tuple(wanted) == (20, 40)
    assert advice.images is None


@pytest.mark.parametrize(
    ("differences", "why"),
    [
        ([1.0, 2.0, 0.0, 1.5], "fewer than five seeds"),
        ([0.5, 0.1, -0.4, 0.9, 1.1, 0.2], "within the margin"),
        ([1.0] * 6, "no spread"),
    ],
)
def test_no_advice(differences: list[float], why: str) -> None:
    assert advise(differences, 0.0, 900, Plan((4,), 1), 0.5) is None, why


def test_where_the_images_are_the_limit_more_of_them_are_advised() -> None:
    """Images alone leave an error of 1 point: a gain of 1 point takes (z + z_power)² times as many of them."""
    differences = 1.0 + np.array([-0.2, 0.1, 0.2, -0.1, 0.0])
    advice = advise(differences, 1.0, 900, Plan((5,), 1), 0.5)
    assert advice is not None
    through = stats.norm.isf(0.1 * 0.05 / 2) + stats.norm.ppf(0.8)
    assert advice == Advice(pytest.approx(1.0), (), math.ceil(900 * through**2))


def test_a_spread_that_no_feasible_look_overcomes_brings_no_advice() -> None:
    differences = 0.6 + 40 * np.array([-1.0, 1.0, -0.5, 0.5, 0.0])
    assert advise(differences, 0.0, 900, Plan((5,), 4), 0.5) is None
