"""What the seeds could have shown."""

from math import inf, isfinite, log, sqrt

import pytest
from statsmodels.stats.power import TTestPower

from benchmark.statistics.power import (
    Aim,
    equivalence_power,
    minimum_detectable_difference,
    seeds_needed,
    seeds_needed_for_equivalence,
    t_test_power,
)


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


def test_thirty_four_pairs_for_half_a_standard_deviation() -> None:
    """The familiar figure of power tables: effect 0.5, alpha 0.05 two-sided, power 0.8."""
    assert seeds_needed(0.5, 1.0) == 34
    assert seeds_needed(-5.0, 10.0) == 34


def test_seeds_needed_is_the_first_number_that_suffices() -> None:
    for difference in (0.2, 0.7, 1.5, 3.0, 20.0):
        needed = seeds_needed(difference, 1.0)
        assert needed is not None
        assert t_test_power(difference, 1.0, needed) >= 0.8
        assert needed == 2 or t_test_power(difference, 1.0, needed - 1) < 0.8


def test_no_number_of_seeds_shows_nothing() -> None:
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(1e-4, 1.0) is None
    assert seeds_needed_for_equivalence(0.5, 0.1, 0.5) is None


@pytest.mark.parametrize(("variation", "n", "published"), [(0.25, 24, 0.7391155), (0.3, 40, 0.8158453)])
def test_equivalence_power_gives_published_values(variation: float, n: int, published: float) -> None:
    """Manual of the R package PowerTOST: 2 × 2 crossover, limits 0.80 to 1.25, true ratio 0.95, on logs."""
    standard_error = sqrt(log(1 + variation**2)) * sqrt(2 / n)
    assert equivalence_power(log(0.95), standard_error, n - 2, log(1.25)) == pytest.approx(published, abs=1e-7)


def test_seeds_needed_for_equivalence_is_the_first_number_that_suffices() -> None:
    for difference in (0.0, 0.2, 0.4):
        needed = seeds_needed_for_equivalence(difference, 0.4, 0.5)
        assert needed is not None
        powers = [equivalence_power(difference, 0.4 / sqrt(n), n - 1, 0.5) for n in (needed - 1, needed)]
        assert powers[0] < 0.8 <= powers[1]
    assert seeds_needed_for_equivalence(0.1, 0.0, 0.5) == 2
