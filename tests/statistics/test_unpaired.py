"""Welch's test against scipy, a worked example, and the edges."""

from math import isnan, sqrt

import numpy as np
import pytest
from scipy import stats

from benchmark.statistics.unpaired import welch_t_test


def test_it_is_scipys_with_its_interval() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(3, 2, 7), rng.normal(1, 0.5, 4)
    test, theirs = welch_t_test(first, second), stats.ttest_ind(first, second, equal_var=False)
    assert (test.t, test.p_value) == pytest.approx((theirs.statistic, theirs.pvalue))
    assert test.interval == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert test.mean == pytest.approx(first.mean() - second.mean())
    assert test.n_seeds == 4


def test_by_hand() -> None:
    test = welch_t_test([3.0, 5.0], [0.0, 4.0])
    assert test.mean == 2
    assert test.t == pytest.approx(2 / sqrt(2 / 2 + 8 / 2))
    assert test.sd == pytest.approx(sqrt(2 + 8))


def test_what_has_no_spread() -> None:
    assert welch_t_test([1.0, 1.0], [1.0, 1.0]).p_value == 1
    assert welch_t_test([2.0, 2.0], [1.0, 1.0]).p_value == 0
    assert welch_t_test([2.0, 2.0], [1.0, 1.0]).t > 0
    assert isnan(welch_t_test([2.0], [1.0, 1.5]).p_value)
