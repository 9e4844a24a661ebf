"""Quantiles of Student's t without scipy, whose import would take longer than a whole table."""

from math import atan, cos, pi, sin, sqrt
from statistics import NormalDist

STEPS = 200


def t_quantile(probability: float, freedom: int) -> float:
    """Value that Student's t stays below with this probability, by bisection of its distribution function.

    Args:
        probability: above one half and below 1.
        freedom: degrees of freedom, at least 1.

    Raises:
        ValueError: a probability or a number of degrees outside that.
    """
    if not 0.5 < probability < 1 or freedom < 1:
        raise ValueError(
            f"needs a probability between 0.5 and 1 and freedom of at least 1, got {probability}, {freedom}"
        )
    low, high = 0.0, NormalDist().inv_cdf(probability)
    while t_probability(high, freedom) < probability:
        high *= 2
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if t_probability(middle, freedom) < probability else (low, middle)
    return (low + high) / 2


def t_probability(value: float, freedom: int) -> float:
    """Chance that Student's t is at most a value of 0 or more, by its finite sum for whole degrees of freedom.

    Source: Abramowitz and Stegun 1964, 26.7.3 and 26.7.4.
    """
    angle = atan(value / sqrt(freedom))
    odd = freedom % 2
    term = cos(angle) if odd else 1.0
    total = 0.0
    for index in range(1 + odd, freedom, 2):
        total += term
        term *= cos(angle) ** 2 * index / (index + 1)
    between = 2 / pi * (angle + sin(angle) * total) if odd else sin(angle) * total
    return (1 + between) / 2
