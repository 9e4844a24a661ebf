"""Compare a method with a baseline: two intervals at one simultaneous level, and the verdict that is read off them."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan, nan

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmark.statistics.crossed import Crossed, correctness_difference, crossed
from benchmark.statistics.looks import looks
from benchmark.statistics.overlap import stretch
from benchmark.statistics.paired import PairedTest, paired_t_test, sample_sd, stretched
from benchmark.statistics.power import Advice, Aim, Plan, advise, minimum_detectable_difference
from benchmark.statistics.prediction import chance_above
from benchmark.statistics.verdicts import (
    NOT_YET,
    OPEN,
    Interval,
    read_equality,
    read_verdict,
    widest,
)

FEWEST_SEEDS = 3  # the spread of two is a single difference
FEWEST_ALIKE = 5  # seeds that all differ by the same number of images tell of coarse steps rather than of certainty
NO_INTERVAL = (nan, nan)


@dataclass(frozen=True)
class Protocol:
    """What is fixed before any number is looked at.

    Attributes:
        alpha: chance of a false verdict in a family, over all looks.
        margin: differences below it count as none, in points.
        looks: planned numbers of seeds; see `looks.looks`. None is the number at hand.
        test_share: share of images in a test part where seeds test on parts of one data set, 0 where all test on the
            same images.
    """

    alpha: float = 0.05
    margin: float = 0.5
    looks: tuple[int, ...] | None = None
    test_share: float = 0.0


@dataclass(frozen=True)
class Comparison:
    """What seeds and images say of method minus baseline, in points; what cannot be computed is NaN.

    Attributes:
        n_seeds: seeds of the look that the verdict is given at, or those at hand where no look is reached.
        mean, sd: of the differences over these seeds.
        p_adjusted: min(1, K p) of the paired t test, K the comparisons of the family; decided at `alpha`.
        alpha: level of the look, shared by the comparisons of the family.
        seeds_interval, images_interval: over seeds; over seeds and images. Both at 1 - alpha / K, or at 1 - 2 alpha / K
            where the verdict says that the difference is inside the margin.
        verdict: one of `verdicts.VERDICTS`.
        detectable: smallest true difference that these seeds would have shown in 80 of 100 cases.
        advice: what would bring a verdict; None where nothing is advised.
        noise: shares of seeds, test images and the rest in the variance of the mean; the training images are fixed.
        chance_above, chance_gain: that a new seed has the method above the baseline, and above it by the margin.
    """

    n_seeds: int
    mean: float
    sd: float
    p_adjusted: float
    alpha: float
    seeds_interval: Interval
    images_interval: Interval
    verdict: str
    detectable: float
    advice: Advice | None
    noise: tuple[float, float, float]
    chance_above: float
    chance_gain: float

    @property
    def bounds(self) -> Interval:
        """What the wider of the two intervals leaves possible."""
        return widest(self.seeds_interval, self.images_interval)


def can_decide(n_seeds: int, sd: float) -> bool:
    """Tell whether there are seeds enough to speak of a spread over them."""
    return n_seeds >= (FEWEST_ALIKE if sd == 0 else FEWEST_SEEDS)


def compare_differences(
    delta: ArrayLike,
    protocol: Protocol = Protocol(),
    *,
    comparisons: int = 1,
    batch_dependent: bool = False,
    persons: ArrayLike | None = None,
) -> Comparison:
    """Give the verdict on one difference, at the look that its seeds reach.

    Equality is read first, off the intervals at 1 - 2 alpha / K; then direction, off those at 1 - alpha / K. Fewer than
    3 seeds, or fewer than 5 that are all alike, give no verdict and those alike no interval.

    Args:
        delta: (S, N) method minus baseline by seed, in order, and image, averaged over pairs, in points; (S,) or (S, 1)
            where images are not known, which allows verdicts on this test set alone.
        protocol: see there.
        comparisons: K, those that share the level.
        batch_dependent: whether predictions of either depend on the other images of the batch.
        persons: (N,) who each image shows, where it is known.

    Raises:
        ValueError: not of these shapes, or a value that is not finite.
    """
    array = np.asarray(delta, dtype=np.float64)
    array = array[:, None] if array.ndim == 1 else array
    plan = Plan(protocol.looks or (array.shape[0],), comparisons, protocol.alpha)
    at = looks(plan.looks, array.shape[0], alpha=protocol.alpha)
    array = array[: at.current.n_seeds]
    by_seed, level = array.mean(axis=1), at.current.alpha / comparisons
    parts = crossed(array, persons) if array.shape[1] > 1 else Crossed(float(by_seed.mean()), nan, nan, nan, nan)
    wide = stretched(by_seed, protocol.test_share)
    verdict, seeds, images = _read(wide, parts, level, protocol, batch_dependent)
    if not at.reached or len(by_seed) < FEWEST_SEEDS:
        verdict = NOT_YET
    known = None if isnan(parts.variance) else parts
    return Comparison(
        n_seeds=len(by_seed),
        mean=float(by_seed.mean()),
        sd=sample_sd(by_seed) if len(by_seed) > 1 else nan,
        p_adjusted=float(np.minimum(1.0, comparisons * paired_t_test(wide).p_value)),
        alpha=at.current.alpha,
        seeds_interval=seeds,
        images_interval=images,
        verdict=verdict,
        detectable=_detectable(by_seed, level, protocol),
        advice=_advice(by_seed, known, array.shape[1], plan, protocol) if verdict == OPEN else None,
        noise=parts.shares() if known else (*NO_INTERVAL, nan),
        chance_above=chance_above(by_seed),
        chance_gain=chance_above(by_seed, protocol.margin),
    )


def _read(
    by_seed: NDArray[np.float64], parts: Crossed, level: float, protocol: Protocol, batch_dependent: bool
) -> tuple[str, Interval, Interval]:
    """Return the verdict and the two intervals that it stands beside."""
    for wider in (2, 1):
        test = paired_t_test(by_seed, confidence=1 - wider * level)
        seeds, images = _intervals(test, parts, wider * level, protocol)
        if wider == 2:
            equal = read_equality(seeds, images, protocol.margin, batch_dependent=batch_dependent)
            if equal:
                return equal, seeds, images
    return read_verdict(seeds, images, batch_dependent=batch_dependent), seeds, images


def _intervals(test: PairedTest, parts: Crossed, level: float, protocol: Protocol) -> tuple[Interval, Interval]:
    if test.n_seeds < FEWEST_ALIKE and test.sd == 0:
        return NO_INTERVAL, NO_INTERVAL
    if protocol.test_share:
        return test.interval, test.interval  # parts that differ between seeds vary the images too
    if isnan(parts.variance):
        return test.interval, NO_INTERVAL
    return test.interval, widest(test.interval, parts.interval(level))  # new images never narrow it


def _detectable(by_seed: NDArray[np.float64], level: float, protocol: Protocol) -> float:
    if len(by_seed) < 2:
        return nan
    sd = sample_sd(by_seed) * stretch(len(by_seed), protocol.test_share)
    return minimum_detectable_difference(sd, len(by_seed), Aim(level))


def _advice(
    by_seed: NDArray[np.float64], parts: Crossed | None, n_images: int, plan: Plan, protocol: Protocol
) -> Advice | None:
    if protocol.test_share:
        return None  # more seeds test on the same images again
    return advise(by_seed, parts.images_alone if parts else 0.0, n_images, plan, protocol.margin)


def compare(
    results: Mapping[str, ArrayLike],
    method: str,
    against: list[str] | None = None,
    *,
    protocol: Protocol = Protocol(),
    persons: ArrayLike | None = None,
) -> dict[str, Comparison]:
    """Compare a method with baselines that were run with the same seeds on the same test images.

    Args:
        results: by name (S, N) whether each test image is classified rightly, by seed; or (S, P, N) by pair or setting;
            or (S,) accuracies as fractions of 1, which allow verdicts on this test set alone.
        method: whose gain is asked about.
        against: baselines; all others where it is not given. They share the level.
        protocol: alpha, margin and planned looks.
        persons: (N,) who each image shows, where it is known.

    Returns:
        One comparison for each baseline, in points.

    Raises:
        ValueError: an unknown name, no baseline, or shapes that differ.

    Example:
        >>> import numpy as np
        >>> right = np.random.default_rng(0).random((10, 2, 500)) < [[[0.8], [0.7]]]
        >>> found = compare({"mine": right[:, 0], "late": right[:, 1]}, "mine")
        >>> found["late"].verdict
        'better'
    """
    names = [name for name in results if name != method] if against is None else against
    if unknown := [name for name in (method, *names) if name not in results]:
        raise ValueError(f"no results named {unknown[0]!r}; there are {', '.join(results)}")
    if not names or method in names:
        raise ValueError(f"{method!r} needs one other method at least to be compared with")
    arrays = {name: _by_pair(results[name]) for name in (method, *names)}
    return {
        name: compare_differences(
            100 * correctness_difference(arrays[method], arrays[name]),
            protocol,
            comparisons=len(names),
            persons=persons,
        )
        for name in names
    }


def _by_pair(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 1:
        array = array[:, None]
    return array[:, None] if array.ndim == 2 else array
