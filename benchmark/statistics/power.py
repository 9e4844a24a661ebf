"""Say what a number of seeds can show, and which further look would bring a verdict."""

from dataclasses import dataclass
from math import ceil, exp, inf, lgamma, log, sqrt

from numpy.typing import ArrayLike
from scipy import integrate, optimize, special, stats

from benchmark.statistics.looks import LATER_SHARE, looks
from benchmark.statistics.paired import as_differences, sample_sd

MOST_SEEDS = 1_000
FEWEST_ADVISED = 5


@dataclass(frozen=True)
class Aim:
    """Level of one comparison, and the power that its test is planned for."""

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


@dataclass(frozen=True)
class Advice:
    """What would bring a verdict on a comparison that is open, were its difference as large as observed.

    Attributes:
        effect: that size, in the unit of the differences.
        seeds: looks, in numbers of seeds in all, from the most to the least favourable spread; empty where it is the
            images that are too few. The second is None where no look up to `MOST_SEEDS` would do.
        images: test images that would be enough with any number of seeds; None where seeds would do.
    """

    effect: float
    seeds: tuple[int, int | None] | tuple[()]
    images: int | None = None


@dataclass(frozen=True)
class Plan:
    """Looks and the number of comparisons that share their level."""

    looks: tuple[int, ...]
    comparisons: int
    alpha: float = 0.05


def advise(differences: ArrayLike, floor: float, n_images: int, plan: Plan, margin: float) -> Advice | None:
    """Return the looks at which a difference of the observed size would be shown with 80 % power.

    The spread is put in at both ends of its 80 % χ² interval. At n seeds the squared error is sd²/n + floor. Where
    the observed size is below what the images alone would let through, (z + z_power) √floor, no number of seeds would
    do, and the number of images that would is given instead.

    Args:
        differences: (S,), method minus baseline by seed, in points.
        floor: variance of the mean that the test images alone leave, in squared points.
        n_images: number of test images.
        plan: looks, comparisons and alpha.
        margin: differences within it are worth no seeds.

    Returns:
        None with fewer than 5 seeds, without spread, and for a difference within the margin.
    """
    array = as_differences(differences)
    mean = abs(float(array.mean()))
    if array.size < FEWEST_ADVISED or mean <= margin or (sd := sample_sd(array)) == 0:
        return None
    aim = Aim(plan.alpha * LATER_SHARE / plan.comparisons)
    through = float(stats.norm.isf(aim.alpha / 2) + stats.norm.ppf(aim.power))
    if floor > 0 and mean <= through * sqrt(floor):
        return Advice(mean, (), ceil(n_images * floor * (through / mean) ** 2))
    tails = stats.chi2.ppf([0.9, 0.1], array.size - 1)
    low, high = (_look_needed(mean, sd * sqrt((array.size - 1) / tail), floor, plan, array.size) for tail in tails)
    return Advice(mean, (low, high)) if low else None


def _look_needed(mean: float, sd: float, floor: float, plan: Plan, n_seeds: int) -> int | None:
    look = looks(plan.looks, n_seeds, alpha=plan.alpha).following
    while look.n_seeds <= MOST_SEEDS:
        error = sqrt(sd**2 + look.n_seeds * floor)
        if t_test_power(mean, error, look.n_seeds, look.alpha / plan.comparisons) >= Aim().power:
            return look.n_seeds
        look = looks(plan.looks, look.n_seeds, alpha=plan.alpha).following
    return None


def _chance_between(low: tuple[float, float], high: tuple[float, float], degrees: int) -> float:
    """P(a + b x < Z < c + d x) for a standard normal Z and an independent x = √(χ²_ν / ν).

    low = (a, b) and high = (c, d). One integral over x;
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
