"""Say where the accuracy of one more run would fall."""

from math import nan, sqrt

from numpy.typing import ArrayLike
from scipy import stats

from benchmark.statistics.paired import as_differences


def prediction_interval(values: ArrayLike, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval that holds one further seed's value with the given probability: mean ± t · sd · √(1 + 1/S).

    It is wider than the interval of the mean, because a printed number is one run. Same test images: what
    other images would do is not in it. One seed gives NaN.

    Args:
        values: (S,), for instance accuracies of one method on one pair; any unit.
        confidence: t is its two-sided quantile on S - 1 degrees of freedom.

    Raises:
        ValueError: not one finite number per seed.

    Source: Hahn and Meeker 1991, Statistical Intervals.
    """
    array = as_differences(values)
    if array.size == 1:
        return nan, nan
    half = float(stats.t.isf((1 - confidence) / 2, array.size - 1) * array.std(ddof=1)) * sqrt(1 + 1 / array.size)
    return float(array.mean()) - half, float(array.mean()) + half
