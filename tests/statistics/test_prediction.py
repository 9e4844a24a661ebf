"""The interval for one more run."""

from math import isnan

import numpy as np
import pytest
from statsmodels.api import OLS

from benchmark.statistics.prediction import prediction_interval


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
