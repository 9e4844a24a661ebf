"""The interval for one more run."""

from math import isnan

import numpy as np
import pytest
from scipy import stats
from statsmodels.api import OLS

from benchmark.statistics.prediction import chance_above, prediction_interval


def test_prediction_interval_is_that_of_a_regression_on_a_constant() -> None:
    rng = np.random.default_rng(1)
    for n_seeds in (2, 5, 10):
        values = rng.normal(86, 0.4, size=n_seeds)
        library = OLS(values, np.ones(n_seeds)).fit().get_prediction([1.0]).conf_int(obs=True, alpha=0.1)[0]
        assert prediction_interval(values, confidence=0.9) == pytest.approx(library, rel=1e-10)


def test_by_hand() -> None:
    """Values 1, 2, 3: mean 2, sd 1, t = 4.3027 on two degrees of freedom, so 2 ± 4.3027 · √(4/3)."""
    assert prediction_interval([1.0, 2.0, 3.0]) == pytest.approx((-2.968, 6.968), abs=5e-4)


def test_one_seed_predicts_nothing() -> None:
    assert all(isnan(limit) for limit in prediction_interval([86.0]))


def test_the_chance_on_a_new_seed_is_the_share_of_the_prediction_interval() -> None:
    """The end of a one-sided 90 % prediction interval is passed with a chance of 10 %."""
    values = np.random.default_rng(2).normal(0.8, 1.1, size=7)
    low, high = prediction_interval(values, confidence=0.8)
    assert chance_above(values, high) == pytest.approx(0.1, rel=1e-10)
    assert chance_above(values, low) == pytest.approx(0.9, rel=1e-10)
    assert chance_above(values) == pytest.approx(
        stats.t.sf(0, 6, loc=values.mean(), scale=values.std(ddof=1) * np.sqrt(8 / 7)), rel=1e-10
    )


def test_the_chance_without_spread_is_sure_or_even() -> None:
    assert [chance_above([0.5] * 4, threshold) for threshold in (0.4, 0.5, 0.6)] == [1.0, 0.5, 0.0]
    assert isnan(chance_above([0.5]))
