"""Compare two methods over seeds: each seed gives one difference, and only seeds are independent."""

from dataclasses import dataclass
from math import inf, nan, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from benchmark.statistics.overlap import stretch

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
    `corrected_resampled_t_test` of d, and its interval is corrected alike. A share of 0, for
    seeds that share one test set, changes nothing.

    Args:
        differences: (..., R), the splits last.

    Source: Nadeau and Bengio 2003.
    """
    array = np.asarray(differences, dtype=np.float64)
    mean = array.mean(axis=-1, keepdims=True)
    return np.asarray(mean + stretch(array.shape[-1], test_share) * (array - mean))
