"""Compare two methods over seeds: each seed gives one difference, and only seeds are independent."""

from dataclasses import dataclass
from math import ceil, inf, log2, nan, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from benchmark.statistics.overlap import stretch

MOST_EXACT_SEEDS = 40
ROUNDING = 1e-10


@dataclass(frozen=True)
class PairedTest:
    """Result of a paired t test; `mean`, `sd` (ddof = 1) and `interval` in the unit of the differences."""

    n_seeds: int
    mean: float
    sd: float
    t: float
    p_value: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class SignFlipTest:
    """Result of an exact sign-flip test, with the smallest p-value that its number of seeds allows."""

    n_seeds: int
    p_value: float
    smallest_p_value: float


@dataclass(frozen=True)
class Refusal:
    """A test that cannot answer with these seeds; `seeds_needed` is None where more seeds do not help."""

    test: str
    n_seeds: int
    seeds_needed: int | None
    reason: str

    def __str__(self) -> str:
        return f"{self.test} refused: {self.reason}"


def too_few_seeds(test: str, n_seeds: int, seeds_needed: int, smallest: float, alpha: float) -> Refusal:
    """Refuse a test because even the smallest p-value that its seeds allow is above alpha."""
    reason = f"{n_seeds} seeds allow no p-value below {smallest:.4g}; {alpha:g} needs {seeds_needed} seeds"
    return Refusal(test, n_seeds, seeds_needed, reason)


def as_differences(values: ArrayLike) -> NDArray[np.float64]:
    """Check that values are one finite number per seed, (S,).

    Raises:
        ValueError: not one-dimensional, empty, or a value that is missing or infinite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"expected one number per seed, shape (S,), got shape {array.shape}: average over pairs first")
    if not np.isfinite(array).all():
        missing = np.flatnonzero(~np.isfinite(array)).tolist()
        raise ValueError(
            f"no finite number for the seeds at positions {missing}: finish these runs or leave the seeds out"
        )
    return array


def sample_sd(values: NDArray[np.float64]) -> float:
    """Sample standard deviation (ddof = 1) of (S,), 0 where the spread is mere floating-point rounding."""
    sd = float(values.std(ddof=1))
    return 0.0 if sd <= ROUNDING * float(np.abs(values).max()) else sd


def paired_t_test(differences: ArrayLike, *, confidence: float = 0.95) -> PairedTest:
    """Two-sided t test that the mean difference over seeds is zero, with its t interval.

    t = mean / (sd / √S) on S - 1 degrees of freedom; the interval is mean ± t_quantile · sd / √S. One seed
    has no spread: sd, t, p and interval are then NaN. Differences that are all alike give p = 1 at zero and p
    = 0 elsewhere.

    Args:
        differences: (S,), method minus baseline, averaged over pairs or of one pair; any unit.
        confidence: of the interval.

    Raises:
        ValueError: not one finite number per seed.

    Source: scipy.stats.ttest_1samp; why seeds and not (pair, seed) blocks: a trained backbone feeds several
    pairs.
    """
    array = as_differences(differences)
    mean, n_seeds = float(array.mean()), array.size
    if n_seeds == 1:
        return PairedTest(1, mean, nan, nan, nan, (nan, nan))
    sd = sample_sd(array)
    if sd == 0:
        t = 0.0 if mean == 0 else inf if mean > 0 else -inf
        return PairedTest(n_seeds, mean, 0.0, t, float(mean == 0), (mean, mean))
    test = stats.ttest_1samp(array, 0.0)
    low, high = test.confidence_interval(confidence)
    return PairedTest(n_seeds, mean, sd, float(test.statistic), float(test.pvalue), (float(low), float(high)))


def sign_flip_test(differences: ArrayLike, *, alpha: float = 0.05) -> SignFlipTest | Refusal:
    """Exact two-sided test that each difference is as likely to have the opposite sign.

    p = share of all 2^S sign patterns whose |sum| reaches the observed |sum|. The smallest p that S seeds
    allow is 2 / 2^S; where it exceeds alpha the test is refused, with the number of seeds it needs. All
    patterns are counted without listing them: the sums of the first half of the seeds are matched with the
    sorted sums of the second half, which is exact up to 40 seeds; beyond that the test is refused in favour
    of the t test.

    Args:
        differences: (S,), method minus baseline; any unit.
        alpha: level at which the answer will be used.

    Raises:
        ValueError: not one finite number per seed.

    Source: Fisher 1935, The Design of Experiments, section 21; Horowitz and Sahni 1974 for the halves.
    """
    array = as_differences(differences)
    name, n_seeds, smallest = "exact sign-flip test", array.size, 2.0 ** (1 - array.size)
    if smallest > alpha:
        needed = 1 + ceil(-log2(alpha))
        return too_few_seeds(name, n_seeds, needed, smallest, alpha)
    if n_seeds > MOST_EXACT_SEEDS:
        reason = f"it counts all sign patterns of at most {MOST_EXACT_SEEDS} seeds, not {n_seeds}; use the t test"
        return Refusal(name, n_seeds, None, reason)
    observed, tolerance = abs(float(array.sum())), ROUNDING * float(np.abs(array).sum())
    if observed <= tolerance:
        return SignFlipTest(n_seeds, 1.0, smallest)
    first, second = _signed_sums(array[: n_seeds // 2]), np.sort(_signed_sums(array[n_seeds // 2 :]))
    reaching = second.size - np.searchsorted(second, observed - tolerance - first)
    return SignFlipTest(n_seeds, 2.0 * int(reaching.sum()) / 2.0**n_seeds, smallest)


def corrected_resampled_t_test(differences: ArrayLike, test_share: float) -> tuple[float, float]:
    """t test over repeated train/test splits of one data set, its variance enlarged as the splits overlap.

    t = mean / (sd · √(1/R + ρ / (1 - ρ))) on R - 1 degrees of freedom, where ρ is the share of images in a
    test part.

    Args:
        differences: (R,), one per split, R at least 2; any unit.
        test_share: ρ, for instance 0.1 in tenfold cross-validation.

    Returns:
        t and its two-sided p-value.

    Raises:
        ValueError: fewer than two splits, or a share that is not between 0 and 1.

    Source: Nadeau and Bengio 2003, Inference for the generalization error; Bouckaert and Frank 2004.
    """
    array = as_differences(differences)
    if array.size < 2 or not 0 < test_share < 1:
        raise ValueError(f"needs 2 splits or more and a test share between 0 and 1, got {array.size} and {test_share}")
    sd, mean = sample_sd(array), float(array.mean())
    if sd == 0:
        return (0.0, 1.0) if mean == 0 else (inf if mean > 0 else -inf, 0.0)
    t = mean / (sd * sqrt(1 / array.size + test_share / (1 - test_share)))
    return t, float(2 * stats.t.sf(abs(t), array.size - 1))


def stretched(differences: ArrayLike, test_share: float) -> NDArray[np.float64]:
    """Move differences of repeated splits apart about their mean, so that t tests of them are corrected ones.

    d' = mean + √(1 + R ρ / (1 - ρ)) · (d - mean), ρ the share of images in a test part: the plain t test of d' is
    `corrected_resampled_t_test` of d, and its interval and the equivalence test are corrected alike. A share of 0, for
    seeds that share one test set, changes nothing.

    Args:
        differences: (..., R), the splits last.

    Source: Nadeau and Bengio 2003.
    """
    array = np.asarray(differences, dtype=np.float64)
    mean = array.mean(axis=-1, keepdims=True)
    return np.asarray(mean + stretch(array.shape[-1], test_share) * (array - mean))


def _signed_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """All 2^n sums ±v1 ± v2 … ± vn, (2^n,)."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate((sums + value, sums - value))
    return sums
