"""Ask whether a difference would hold with other seeds and on other images, both at once."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]
CHUNK = 250


def correctness_difference(correct: ArrayLike, baseline: ArrayLike) -> Floats:
    """Average method correct minus baseline correct over pairs, twice (S, P, N) -> (S, N) in [-1, 1].

    Its mean is the difference of the two accuracies averaged over seeds and pairs. A baseline without pairs,
    such as one network, is repeated by the caller for each pair.

    Raises:
        ValueError: shapes that differ or are not (S, P, N).
    """
    first, second = np.asarray(correct, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if first.ndim != 3 or first.shape != second.shape:
        raise ValueError(
            f"expected two arrays of one shape (S, P, N), got {first.shape} and {second.shape}: align them"
        )
    return np.asarray((first - second).mean(axis=1))


def crossed_interval(
    delta: ArrayLike, generator: np.random.Generator, *, n_resamples: int = 10_000, confidence: float = 0.95
) -> tuple[float, float]:
    """Crossed bootstrap interval of the mean of one (S, N) array; see `crossed_intervals`."""
    low, high = crossed_intervals(np.asarray(delta)[None], generator, n_resamples=n_resamples, confidence=confidence)[0]
    return float(low), float(high)


def crossed_intervals(
    deltas: ArrayLike, generator: np.random.Generator, *, n_resamples: int = 10_000, confidence: float = 0.95
) -> Floats:
    """Resample seeds and images with replacement, both at once, and widen the percentiles about the mean.

    Every resample weighs the S seeds and the N images of all K comparisons alike. Its deviation from the mean
    is multiplied by `expansion`: plain percentiles are too narrow where few seeds decide (five seeds: 85 %
    instead of 95 %) and too wide where single predictions scatter. Same generator, same interval: adding a
    comparison does not change the others. One seed gives NaN.

    Args:
        deltas: (K, S, N), method correct minus baseline correct, on the same images in the same order; any
            unit.
        generator: consumed in the same way for every K.
        n_resamples: B.
        confidence: of the intervals.

    Returns:
        (K, 2), low and high, in the unit of deltas.

    Raises:
        ValueError: not (K, S, N), fewer than two images, or a value that is not finite.

    Source: Owen 2007, The pigeonhole bootstrap; Hesterberg 2015, What teachers should know about the
    bootstrap, for the expanded percentiles.
    """
    array = np.asarray(deltas, dtype=np.float64)
    if array.ndim != 3 or array.shape[2] < 2 or not np.isfinite(array).all():
        raise ValueError(f"expected finite numbers of shape (K, S, N) with 2 images or more, got shape {array.shape}")
    if array.shape[1] == 1:
        return np.full((array.shape[0], 2), np.nan)
    mean = array.mean(axis=(1, 2))
    deviations = resampled_means(array, generator, n_resamples) - mean[:, None]
    tail = (1 - confidence) / 2
    percentiles = np.quantile(deviations, [tail, 1 - tail], axis=1)
    return np.asarray((mean + expansion(array, confidence) * percentiles).T)


def resampled_means(deltas: Floats, generator: np.random.Generator, n_resamples: int) -> Floats:
    """Mean of each comparison in each of B crossed resamples, (K, S, N) -> (K, B).

    mean_b = Σ_s Σ_n u_bs v_bn delta_sn / (S N), where u_b and v_b count how often seed s and image n were
    drawn. The image weights are made in chunks that all comparisons share, so that one matrix product serves
    them all.
    """
    n_comparisons, n_seeds, n_images = deltas.shape
    flat = deltas.reshape(n_comparisons * n_seeds, n_images)
    seed_counts = np.concatenate(list(draw_counts(generator, n_seeds, n_resamples)))
    means, done = np.empty((n_comparisons, n_resamples)), 0
    for image_counts in draw_counts(generator, n_images, n_resamples):
        here = slice(done, done + len(image_counts))
        per_seed = (flat @ image_counts.T).reshape(n_comparisons, n_seeds, -1)
        means[:, here] = np.einsum("ksb,bs->kb", per_seed, seed_counts[here])
        done = here.stop
    return np.asarray(means / (n_seeds * n_images))


def draw_counts(generator: np.random.Generator, size: int, n_resamples: int) -> Iterator[Floats]:
    """Draw `size` out of `size` with replacement and count each: B rows in chunks of 250, (≤ 250, size)."""
    for start in range(0, n_resamples, CHUNK):
        rows = min(CHUNK, n_resamples - start)
        drawn = generator.integers(size, size=(rows, size)) + size * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size).astype(np.float64)


def expansion(deltas: Floats, confidence: float) -> Floats:
    """Factor that gives crossed resamples the right variance and the tails of few seeds, (K, S, N) -> (K,).

    With delta_sn = mean + seed_s + image_n + rest_sn and the variances of the mean that belong to the three
    parts, V_seed = Σ seed² / ((S-1) S), V_image = Σ image² / ((N-1) N), V_rest = Σ rest² / ((S-1)(N-1) S N):

        of the resamples   V_boot = V_seed (S-1)/S + V_image (N-1)/N + V_rest (S-1)(N-1)/(S N)
        of the mean        V = V_seed + V_image - V_rest, at least the larger of V_seed and V_image

    Resampling both ways narrows the seed part by √(S/(S-1)) and counts the rest three times, once by itself
    and once inside each main effect; V counts it once. The factor is √(V / V_boot) · t_ν / z with
    Satterthwaite's degrees of freedom ν = V² / (V_seed²/(S-1) + V_image²/(N-1) + V_rest²/((S-1)(N-1))), at
    least S - 1.

    Source: Owen 2007 (why three times); Cameron, Gelbach and Miller 2011 (V); Satterthwaite 1946 (ν).
    """
    _, n_seeds, n_images = deltas.shape
    mean = deltas.mean(axis=(1, 2), keepdims=True)
    seed = deltas.mean(axis=2, keepdims=True) - mean
    image = deltas.mean(axis=1, keepdims=True) - mean
    rest = ((deltas - mean) ** 2).sum(axis=(1, 2))
    rest -= n_images * (seed**2).sum(axis=(1, 2)) + n_seeds * (image**2).sum(axis=(1, 2))
    freedom = np.array([n_seeds - 1, n_images - 1, (n_seeds - 1) * (n_images - 1)])
    sizes = np.array([n_seeds, n_images, n_seeds * n_images])
    parts = np.stack([(seed**2).sum(axis=(1, 2)), (image**2).sum(axis=(1, 2)), np.maximum(rest, 0)], axis=1)
    v_parts = parts / (freedom * sizes)
    v_boot = (v_parts * freedom / sizes).sum(axis=1)
    v_seed, v_image, v_rest = v_parts.T
    v_mean = np.maximum(v_seed + v_image - v_rest, np.maximum(v_seed, v_image))
    some = v_boot > 0
    nu = np.full_like(v_mean, n_seeds - 1)
    nu[some] = np.maximum(v_mean[some] ** 2 / (v_parts[some] ** 2 / freedom).sum(axis=1), n_seeds - 1)
    tail = (1 - confidence) / 2
    widening = np.sqrt(np.divide(v_mean, v_boot, out=np.ones_like(v_mean), where=some))
    return np.asarray(widening * stats.t.isf(tail, nu) / stats.norm.isf(tail))
