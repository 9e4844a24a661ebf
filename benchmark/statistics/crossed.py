"""Ask whether a difference would hold with other seeds and on other images, both at once."""

from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Crossed:
    """The mean of S seeds × N images with the variances of that mean, in the squared unit of the differences.

    Attributes:
        mean: over seeds and images.
        seeds, images, rest: what the variance of the mean owes to each; `seeds` and `images` each hold `rest` once.
        freedom: Satterthwaite's degrees of freedom of their sum, at least S - 1.
    """

    mean: float
    seeds: float
    images: float
    rest: float
    freedom: float

    @property
    def variance(self) -> float:
        """Variance of the mean over new seeds and new images: seeds + images - rest, at least the larger of the two."""
        return max(self.seeds + self.images - self.rest, self.seeds, self.images)

    @property
    def images_alone(self) -> float:
        """Variance that is left with any number of seeds, that of the images; at least 0."""
        return max(self.images - self.rest, 0.0)

    def interval(self, level: float) -> tuple[float, float]:
        """Return mean ± t_{1 - level/2} √variance on `freedom` degrees; NaN where a variance is."""
        reach = float(stdtrit(self.freedom, 1 - level / 2)) * sqrt(self.variance)
        return self.mean - reach, self.mean + reach

    def shares(self) -> tuple[float, float, float]:
        """Return the shares of seeds, images and the rest in the variance of the mean; NaN where there is none."""
        parts = np.array([max(self.seeds - self.rest, 0.0), self.images_alone, self.rest])
        seeds, images, rest = parts / parts.sum() if parts.sum() > 0 else (nan, nan, nan)
        return float(seeds), float(images), float(rest)


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


def crossed(delta: ArrayLike, persons: ArrayLike | None = None) -> Crossed:
    """Split the variance of a mean over S seeds and N images into its parts.

    With delta_sn = mean + seed_s + image_n + rest_sn, and images summed by person where persons are given (M units,
    one for each image without them):

        V_seeds  = Σ seed² / ((S-1) S)
        V_images = M/(M-1) Σ_m (Σ_{n in m} image_n)² / N²
        V_rest   = S/(S-1) M/(M-1) Σ_sm (Σ_{n in m} rest_sn)² / (S N)²

    V_seeds and V_images each hold V_rest, so that their sum counts it once too often. The degrees of freedom are
    V² / (V_seeds²/(S-1) + V_images²/(M-1) + V_rest²/((S-1)(M-1))), at least S - 1.

    Args:
        delta: (S, N), method correct minus baseline correct by seed and image; any unit.
        persons: (N,) who each image shows; images of one person are no independent evidence.

    Returns:
        Variances that are NaN with one seed, one image or one person.

    Raises:
        ValueError: not (S, N), or a value that is not finite.

    Source: Owen 2007, The pigeonhole bootstrap; Cameron, Gelbach and Miller 2011 (two-way clusters); Satterthwaite
    1946.
    """
    array = np.asarray(delta, dtype=np.float64)
    if array.ndim != 2 or 0 in array.shape or not np.isfinite(array).all():
        raise ValueError(f"expected finite numbers of shape (S, N), got shape {array.shape}")
    n_seeds, n_images = array.shape
    mean = float(array.mean())
    if persons is None:
        units = n_images
    else:
        _, unit_of = np.unique(np.asarray(persons), return_inverse=True)
        units = int(unit_of.max()) + 1
    if n_seeds < 2 or units < 2:
        return Crossed(mean, nan, nan, nan, nan)
    seed = array.mean(axis=1) - mean
    image = array.mean(axis=0) - mean
    rest = array - mean - seed[:, None] - image
    if persons is not None:
        image = np.bincount(unit_of, image, units)
        rest = np.stack([np.bincount(unit_of, row, units) for row in rest])
    many = units / (units - 1)
    v_seeds = float((seed**2).sum() / ((n_seeds - 1) * n_seeds))
    v_images = float(many * (image**2).sum() / n_images**2)
    v_rest = float(n_seeds / (n_seeds - 1) * many * (rest**2).sum() / (n_seeds * n_images) ** 2)
    parts = np.array([v_seeds, v_images, v_rest])
    variance = Crossed(mean, v_seeds, v_images, v_rest, nan).variance
    spread = (parts**2 / [n_seeds - 1, units - 1, (n_seeds - 1) * (units - 1)]).sum()
    freedom = max(variance**2 / spread, n_seeds - 1) if spread > 0 else n_seeds - 1
    return Crossed(mean, v_seeds, v_images, v_rest, float(freedom))
