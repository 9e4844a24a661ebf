"""Say where one more run would fall, and with which chance one method would be ahead of another in it."""

from math import nan, sqrt

from numpy.typing import ArrayLike
from scipy import stats

from benchmark.statistics.paired import as_differences, sample_sd


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


def chance_above(differences: ArrayLike, threshold: float = 0.0) -> float:
    """Chance that a new seed's difference is above a threshold, by the predictive t distribution.

    P(mean + sd √(1 + 1/S) T > threshold), T Student's t on S - 1 degrees of freedom. Same test images. NaN with one
    seed; without spread 1 or 0, and one half at the threshold itself.

    Args:
        differences: (S,), method minus baseline; any unit.
        threshold: in that unit.

    Raises:
        ValueError: not one finite number per seed.

    Source: Geisser 1993, Predictive Inference; the probability of superiority asked for by Bouthillier et al. 2021.
    """
    array = as_differences(differences)
    if array.size == 1:
        return nan
    mean, sd = float(array.mean()), sample_sd(array)
    if sd == 0:
        return 0.5 if mean == threshold else float(mean > threshold)
    return float(stats.t.cdf((mean - threshold) / (sd * sqrt(1 + 1 / array.size)), array.size - 1))
