"""Compare two sets of seeds that have nothing in common."""

from math import isclose, nan

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from benchmark.statistics.paired import PairedTest, as_differences, sample_sd


def welch_t_test(first: ArrayLike, second: ArrayLike, *, confidence: float = 0.95) -> PairedTest:
    """Two-sided t test that two means are equal, for seeds that are not matched and spreads that may differ.

    t = (mean1 - mean2) / √(s1²/n1 + s2²/n2) on Welch's degrees of freedom. A side of one seed has no spread: t, p and
    interval are then NaN. Two sides without any spread give p = 1 at equal means and p = 0 elsewhere.

    Args:
        first, second: (S1,) and (S2,), in the same unit.
        confidence: of the interval.

    Returns:
        The difference first minus second; `sd` is that of the difference of one seed of each, √(s1² + s2²), and
        `n_seeds` the smaller number of seeds.

    Raises:
        ValueError: not one finite number per seed.

    Source: Welch 1947; scipy.stats.ttest_ind.
    """
    a, b = as_differences(first), as_differences(second)
    mean, n_seeds = float(a.mean() - b.mean()), min(a.size, b.size)
    if n_seeds == 1:
        return PairedTest(1, mean, nan, nan, nan, (nan, nan))
    spreads = sample_sd(a), sample_sd(b)
    sd = float(np.hypot(*spreads))
    if sd == 0:
        same = isclose(a[0], b[0], rel_tol=1e-12)
        return PairedTest(n_seeds, mean, 0.0, 0.0 if same else np.copysign(np.inf, mean), float(same), (mean, mean))
    test = stats.ttest_ind(a, b, equal_var=False)
    low, high = test.confidence_interval(confidence)
    return PairedTest(n_seeds, mean, sd, float(test.statistic), float(test.pvalue), (float(low), float(high)))
