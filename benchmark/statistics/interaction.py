"""Ask whether the differences between methods depend on the pair of backbones."""

from dataclasses import dataclass
from math import ceil, factorial, log

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmark.statistics.paired import ROUNDING, Refusal, too_few_seeds

CHUNK = 500


@dataclass(frozen=True)
class InteractionTest:
    """Sum over methods and pairs of the squared mean interaction effect, in the squared unit of accuracy."""

    statistic: float
    p_value: float
    n_resamples: int


def interaction_test(
    accuracies: ArrayLike, generator: np.random.Generator, *, n_resamples: int = 10_000, alpha: float = 0.05
) -> InteractionTest | Refusal:
    """Permute the method labels within each seed, for all pairs together, and compare the interaction's size.

    r_mps = acc_mps - mean over methods - mean over pairs + mean over both, within each seed; statistic Σ_mp
    (mean_s r_mps)². Taking out both main effects lets a method be better on every pair under the null. Moving
    all pairs of one seed together keeps the dependence that shared backbones give. p = (count + 1) / (B + 1).
    Only (M!)^(S-1) arrangements differ; where even one of these exceeds alpha the test is refused, with the
    number of seeds it needs.

    Args:
        accuracies: (M, P, S) with M and P at least 2; any unit.
        generator: draws the B permutations.
        n_resamples: B.
        alpha: level at which the answer will be used.

    Raises:
        ValueError: not a finite (M, P, S) array with two methods and two pairs or more.

    Source: Anderson and ter Braak 2003, permutation of residuals; Phipson and Smyth 2010 for the + 1.
    """
    array = np.asarray(accuracies, dtype=np.float64)
    if array.ndim != 3 or min(array.shape[:2]) < 2 or not np.isfinite(array).all():
        raise ValueError(f"expected finite (M, P, S) with 2 methods and 2 pairs or more, got shape {array.shape}")
    n_methods, _, n_seeds = array.shape
    smallest = float(factorial(n_methods)) ** -(n_seeds - 1)
    if smallest > alpha:
        needed = 1 + ceil(-log(alpha) / log(factorial(n_methods)))
        return too_few_seeds("interaction test", n_seeds, needed, smallest, alpha)
    residuals = array - array.mean(axis=0) - array.mean(axis=1, keepdims=True) + array.mean(axis=(0, 1))
    observed = float((residuals.mean(axis=2) ** 2).sum())
    threshold = observed * (1 - ROUNDING)
    by_seed, count = residuals.transpose(2, 0, 1), 0
    for start in range(0, n_resamples, CHUNK):
        rows = min(CHUNK, n_resamples - start)
        count += int((_permuted_statistics(by_seed, generator, rows) >= threshold).sum())
    return InteractionTest(observed, (count + 1) / (n_resamples + 1), n_resamples)


def _permuted_statistics(
    residuals: NDArray[np.float64], generator: np.random.Generator, n_resamples: int
) -> NDArray[np.float64]:
    """Statistic after giving each seed's methods new labels, (S, M, P) -> (B,)."""
    n_seeds, n_methods, n_pairs = residuals.shape
    sums = np.zeros((n_resamples, n_methods, n_pairs))
    labels = np.broadcast_to(np.arange(n_methods), (n_resamples, n_methods))
    for seed in residuals:
        sums += seed[generator.permuted(labels, axis=1)]
    return np.asarray(((sums / n_seeds) ** 2).sum(axis=(1, 2)))
