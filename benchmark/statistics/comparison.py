"""Compare a method with a baseline: two intervals at one simultaneous level, and the verdict that is read off them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isnan, nan

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmark.statistics.crossed import Crossed, correctness_difference, crossed
from benchmark.statistics.looks import Looks, looks
from benchmark.statistics.overlap import stretch
from benchmark.statistics.paired import PairedTest, paired_t_test, sample_sd, stretched
from benchmark.statistics.power import Advice, Aim, Plan, advise, minimum_detectable_difference
from benchmark.statistics.prediction import chance_above
from benchmark.statistics.unpaired import welch_t_test
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
    by_seed = array.mean(axis=1)
    parts = crossed(array, persons) if array.shape[1] > 1 else Crossed(float(by_seed.mean()), nan, nan, nan, nan)
    found = _decide(
        lambda confidence: paired_t_test(stretched(by_seed, protocol.test_share), confidence=confidence),
        parts,
        _Standing(at, comparisons, batch_dependent, protocol),
    )
    level = at.current.alpha / comparisons
    return replace(
        found,
        sd=sample_sd(by_seed) if len(by_seed) > 1 else nan,
        detectable=_detectable(by_seed, level, protocol),
        advice=_advice(by_seed, parts, array.shape[1], plan, protocol) if found.verdict == OPEN else None,
        chance_above=chance_above(by_seed),
        chance_gain=chance_above(by_seed, protocol.margin),
    )


def compare_unpaired(
    first: ArrayLike, second: ArrayLike, protocol: Protocol = Protocol(), *, comparisons: int = 1
) -> Comparison:
    """Give the verdict on two methods whose seeds are not matched, on the same test images where these are known.

    Over seeds: Welch's t interval. Over seeds and images: the variances of both over seeds, that of the images' mean
    differences, and both rests, as in `crossed`. The look is that of the smaller number of seeds.

    Args:
        first: (S1, N) in percent by seed and image, or (S1,).
        second: (S2, N) or (S2,), likewise.

    Raises:
        ValueError: images that differ in number, or a value that is not finite.
    """
    a, b = (np.atleast_2d(np.asarray(values, dtype=np.float64).T).T for values in (first, second))
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"expected the same N images, got {a.shape[1]} and {b.shape[1]}")
    n_seeds = min(len(a), len(b))
    at = looks(protocol.looks or (n_seeds,), n_seeds, alpha=protocol.alpha)
    by_seed = a.mean(axis=1), b.mean(axis=1)
    parts = _unpaired_parts(a, b)
    return _decide(
        lambda confidence: welch_t_test(*by_seed, confidence=confidence),
        parts,
        _Standing(at, comparisons, False, protocol),
    )


def _unpaired_parts(a: NDArray[np.float64], b: NDArray[np.float64]) -> Crossed:
    """Return the variance of the difference of two means over seeds of their own and the same images."""
    mean, images = float(a.mean() - b.mean()), a.shape[1]
    if min(len(a), len(b), images) < 2:
        return Crossed(mean, nan, nan, nan, nan)
    one, other = crossed(a), crossed(b)
    by_image = a.mean(axis=0) - b.mean(axis=0)
    parts = np.array([one.seeds, other.seeds, by_image.var(ddof=1) / images, one.rest, other.rest])
    found = Crossed(mean, float(parts[:2].sum()), float(parts[2]), float(parts[3:].sum()), nan)
    ways = np.array([len(a) - 1, len(b) - 1, images - 1, (len(a) - 1) * (images - 1), (len(b) - 1) * (images - 1)])
    spread = float((parts**2 / ways).sum())
    least = min(len(a), len(b)) - 1
    return replace(found, freedom=max(found.variance**2 / spread, least) if spread > 0 else least)


@dataclass(frozen=True)
class _Standing:
    """What a verdict depends on beside the numbers."""

    at: Looks
    comparisons: int
    batch_dependent: bool
    protocol: Protocol


def _decide(test_at: Callable[[float], PairedTest], parts: Crossed, standing: _Standing) -> Comparison:
    """Return the comparison with its verdict; `test_at` is the test over seeds with an interval of a confidence."""
    at, protocol = standing.at, standing.protocol
    level = at.current.alpha / standing.comparisons
    verdict = None
    for wider in (2, 1):
        test = test_at(1 - wider * level)
        seeds, images = _intervals(test, parts, wider * level, protocol)
        if wider == 2:
            verdict = read_equality(seeds, images, protocol.margin, batch_dependent=standing.batch_dependent)
        if verdict:
            break
    if not at.reached or test.n_seeds < FEWEST_SEEDS:
        verdict = NOT_YET
    return Comparison(
        n_seeds=test.n_seeds,
        mean=test.mean,
        sd=test.sd,
        p_adjusted=float(np.minimum(1.0, standing.comparisons * test.p_value)),
        alpha=at.current.alpha,
        seeds_interval=seeds,
        images_interval=images,
        verdict=verdict or read_verdict(seeds, images, batch_dependent=standing.batch_dependent),
        detectable=nan,
        advice=None,
        noise=(nan, nan, nan) if isnan(parts.variance) else parts.shares(),
        chance_above=nan,
        chance_gain=nan,
    )


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
    by_seed: NDArray[np.float64], parts: Crossed, n_images: int, plan: Plan, protocol: Protocol
) -> Advice | None:
    if protocol.test_share:
        return None  # more seeds test on the same images again
    floor = 0.0 if isnan(parts.variance) else parts.images_alone
    return advise(by_seed, floor, n_images, plan, protocol.margin)


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
