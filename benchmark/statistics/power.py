"""Say what the seeds at hand could have shown, and how many a verdict would need."""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, inf, lgamma, log, sqrt

from scipy import integrate, optimize, special, stats

from benchmark.statistics.overlap import stretch

MOST_SEEDS = 10_000


@dataclass(frozen=True)
class Aim:
    """Level and power that a test is planned for; under Holm over four, alpha = 0.05 / 4 is the safe plan."""

    alpha: float = 0.05
    power: float = 0.8


def t_test_power(difference: float, sd: float, n_seeds: int, alpha: float = 0.05) -> float:
    """Chance that the two-sided paired t test rejects when the true difference is `difference`.

    1 - P(-c < T < c), T noncentral t on S - 1 degrees of freedom with noncentrality difference · √S / sd.

    Args:
        difference, sd: true mean and standard deviation of the differences over seeds, in one unit.
        n_seeds: S, at least 2.
        alpha: level, c = t_{1-α/2}.
    """
    if sd == 0:
        return float(difference != 0)
    noncentrality, critical = difference * sqrt(n_seeds) / sd, float(stats.t.isf(alpha / 2, n_seeds - 1))
    return 1 - _chance_between((-noncentrality, -critical), (-noncentrality, critical), n_seeds - 1)


def minimum_detectable_difference(sd: float, n_seeds: int, aim: Aim = Aim()) -> float:
    """Smallest true difference that the paired t test finds with the aimed power.

    Solves `t_test_power` = aim.power for the difference; infinite with one seed, 0 without spread.

    Args:
        sd: sample standard deviation of the differences over seeds; any unit, which is the result's.
        n_seeds: S.
        aim: alpha and power.
    """
    if n_seeds < 2:
        return inf
    high = 1.0
    while t_test_power(high, 1.0, n_seeds, aim.alpha) < aim.power:
        high *= 2
    root = optimize.brentq(lambda size: t_test_power(size, 1.0, n_seeds, aim.alpha) - aim.power, 0, high)
    return float(root) * sd


def seeds_needed(difference: float, sd: float, aim: Aim = Aim(), *, test_share: float = 0.0) -> int | None:
    """Smallest total number of seeds with which the paired t test finds the difference with the aimed power.

    None where 10 000 seeds do not suffice. The observed difference put in here is itself uncertain: a plan,
    not a promise.

    Args:
        difference, sd: true mean and standard deviation of the differences over seeds, in one unit.
        aim: alpha and power.
        test_share: share of images in a test part where seeds test on parts of one data set, 0 where they share a
            test set. Above 0 the error has a floor that no number of seeds goes below.
    """
    return _fewest_seeds(
        lambda n_seeds: t_test_power(difference, sd * stretch(n_seeds, test_share), n_seeds, aim.alpha), aim.power
    )


def equivalence_power(
    difference: float, standard_error: float, degrees: int, margin: float, alpha: float = 0.05
) -> float:
    """Chance that two one-sided t tests both reject at ±margin when the true difference is `difference`.

    P(-(margin + difference) / se + c x < Z < (margin - difference) / se - c x), where x is the estimated over
    the true standard error and Z the standardised error of the mean.

    Args:
        difference, standard_error, margin: in one unit; paired seeds have standard_error = sd / √S.
        degrees: S - 1 for paired seeds.
        alpha: of each one-sided test, c = t_{1-α}.

    Source: Phillips 1990; the exact method of the R package PowerTOST.
    """
    critical = float(stats.t.isf(alpha, degrees))
    low, high = -(margin + difference) / standard_error, (margin - difference) / standard_error
    return _chance_between((low, critical), (high, -critical), degrees)


def seeds_needed_for_equivalence(
    difference: float, sd: float, margin: float, aim: Aim = Aim(), *, test_share: float = 0.0
) -> int | None:
    """Smallest total number of seeds with which the equivalence test succeeds with the aimed power.

    None where the difference is no smaller than the margin, or 10 000 seeds do not suffice.

    Args:
        difference, sd: true mean and standard deviation of the differences over seeds.
        margin: of equivalence, in the same unit.
        aim: alpha and power.
        test_share: as in `seeds_needed`.
    """
    if abs(difference) >= margin:
        return None
    if sd == 0:
        return 2

    def power_of(n_seeds: int) -> float:
        error = sd * stretch(n_seeds, test_share) / sqrt(n_seeds)
        return equivalence_power(difference, error, n_seeds - 1, margin, aim.alpha)

    return _fewest_seeds(power_of, aim.power)


def _fewest_seeds(power_of: Callable[[int], float], wanted: float) -> int | None:
    """Smallest number of seeds from 2 whose power reaches what is wanted, by doubling and halving."""
    high = 2
    while power_of(high) < wanted:
        if high == MOST_SEEDS:
            return None
        high = min(2 * high, MOST_SEEDS)
    low = (high + 1) // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(middle) >= wanted else (middle, high)
    return high


def _chance_between(low: tuple[float, float], high: tuple[float, float], degrees: int) -> float:
    """P(a + b x < Z < c + d x) for a standard normal Z and an independent x = √(χ²_ν / ν).

    low = (a, b) and high = (c, d). One integral over x for the two-sided t test and for two one-sided ones;
    scipy's noncentral t distribution gives NaN for scattered large noncentralities.
    """
    half = degrees / 2
    log_constant = log(2) + half * log(half) - lgamma(half)
    start, end = (sqrt(float(stats.chi2.ppf(q, degrees)) / degrees) for q in (1e-14, 1 - 1e-14))
    if low[1] > high[1]:
        end = min(end, (high[0] - low[0]) / (low[1] - high[1]))

    def inside(x: float) -> float:
        density = exp(log_constant + (degrees - 1) * log(x) - half * x * x)
        return float((special.ndtr(high[0] + high[1] * x) - special.ndtr(low[0] + low[1] * x)) * density)

    if start >= end:
        return 0.0
    turns = ((near - edge[0]) / edge[1] for edge in (low, high) for near in (-8, 0, 8))
    breaks = [x for x in turns if start < x < end]
    # full_output keeps quad quiet where float64 ends before the tolerance asked for; its estimate stands.
    return float(integrate.quad(inside, start, end, points=breaks, limit=500, epsabs=1e-13, full_output=1)[0])
