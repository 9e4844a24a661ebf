"""Show that two methods are practically equal, which a large p-value of a difference test does not."""

from math import nan

import numpy as np
from numpy.typing import ArrayLike
from statsmodels.stats.weightstats import ttost_paired

from benchmark.statistics.paired import as_differences, sample_sd


def equivalence_p_value(differences: ArrayLike, margin: float) -> float:
    """Two one-sided t tests that the mean difference lies inside ±margin; the larger p-value counts.

    p = max(P(T > (mean + margin) / se), P(T < (mean - margin) / se)), se = sd / √S, on S - 1 degrees of
    freedom. p ≤ alpha is the same as a 1 - 2·alpha interval inside the margin. One seed gives NaN.

    Args:
        differences: (S,), method minus baseline; any unit.
        margin: largest difference that counts as none, positive, in the same unit.

    Raises:
        ValueError: a margin that is not positive, or not one finite number per seed.

    Source: Schuirmann 1987; Lakens 2017; statsmodels ttost_paired.
    """
    array = as_differences(differences)
    if not margin > 0:
        raise ValueError(f"the margin must be positive, got {margin}: give the largest difference that counts as none")
    if array.size == 1:
        return nan
    if sample_sd(array) == 0:
        return float(abs(array.mean()) >= margin)
    return float(ttost_paired(array, np.zeros_like(array), -margin, margin)[0])
