"""Simulated error rates, coverage and power of what the reports decide with.

Each simulation draws data by a known rule, runs the functions of `benchmark.statistics` on them, and asks
whether the share of wrong answers lies in the band that a binomial count of that many replications leaves
around the nominal rate (99.9 %, fixed generators). `pytest -s` prints the shares. The slow tier repeats all
with 10 000 replications.
"""

import gc
from collections.abc import Callable, Iterator
from itertools import combinations
from math import sqrt

import numpy as np
import pytest
from benchmark.statistics.bootstrap import correctness_difference, crossed_intervals, resampled_means
from benchmark.statistics.equivalence import equivalence_p_value
from benchmark.statistics.family import compare_family
from numpy.typing import NDArray
from scipy import stats

from benchmark.statistics.interaction import InteractionTest, interaction_test
from benchmark.statistics.paired import SignFlipTest, paired_t_test, sign_flip_test
from benchmark.statistics.power import (
    Aim,
    minimum_detectable_difference,
    seeds_needed,
    seeds_needed_for_equivalence,
)
from benchmark.statistics.prediction import prediction_interval
from benchmark.statistics.verdicts import Evidence, comparison_verdict

Floats = NDArray[np.float64]
PAIRS = list(combinations(range(4), 2))

replications = pytest.mark.parametrize(
    "n_replications", [1000, pytest.param(10_000, marks=pytest.mark.slow)], ids=["fast", "slow"]
)
seeds = pytest.mark.parametrize("n_seeds", [5, 10])


@pytest.fixture(autouse=True)
def cheap_garbage_collection() -> Iterator[None]:
    """Set the modules' objects aside: statsmodels' multipletests collects garbage at every call."""
    gc.freeze()
    yield
    gc.unfreeze()


def band(rate: float, n_replications: int) -> tuple[float, float]:
    """Shares between which a count with this rate falls in 99.9 % of all simulations."""
    low, high = stats.binom.interval(0.999, n_replications, rate)
    return low / n_replications, high / n_replications


def assert_share(name: str, share: float, rates: tuple[float, float], n_replications: int) -> None:
    """The simulated share is compatible with some true rate between the two given."""
    low, high = band(rates[0], n_replications)[0], band(rates[1], n_replications)[1]
    print(f"\n{name}: {share:.4f} of {n_replications}, allowed {low:.4f} to {high:.4f}")
    assert low <= share <= high


def shared_backbone_differences(generator: np.random.Generator, n_seeds: int, backbone_share: float) -> Floats:
    """No effect; each trained backbone adds its part to the three pairs that it feeds; (P, S), variance 1."""
    backbones = generator.normal(size=(4, n_seeds))
    pairs = np.stack([backbones[first] + backbones[second] for first, second in PAIRS]) / sqrt(2)
    rest = generator.normal(size=pairs.shape)
    return np.asarray(sqrt(backbone_share) * pairs + sqrt(1 - backbone_share) * rest)


@replications
@seeds
@pytest.mark.parametrize("backbone_share", [0.0, 0.5, 0.9])
def test_primary_test_keeps_its_level_when_pairs_share_backbones(
    n_replications: int, n_seeds: int, backbone_share: float
) -> None:
    generator = np.random.default_rng([1, n_seeds, int(10 * backbone_share)])
    rejected = covered = 0
    for _ in range(n_replications):
        result = paired_t_test(shared_backbone_differences(generator, n_seeds, backbone_share).mean(axis=0))
        rejected += result.p_value <= 0.05
        covered += result.interval[0] <= 0 <= result.interval[1]
    name = f"{n_seeds} seeds, backbone share {backbone_share}"
    assert_share(f"primary test, type I, {name}", rejected / n_replications, (0.05, 0.05), n_replications)
    assert_share(f"t interval, coverage, {name}", covered / n_replications, (0.95, 0.95), n_replications)


@replications
@pytest.mark.parametrize(("backbone_share", "known"), [(0.5, 0.16), (0.9, 0.25)])
def test_wilcoxon_over_pair_and_seed_blocks_rejects_far_too_often(
    n_replications: int, backbone_share: float, known: float
) -> None:
    generator = np.random.default_rng([2, int(10 * backbone_share)])
    blocks = [shared_backbone_differences(generator, 5, backbone_share).ravel() for _ in range(n_replications)]
    share = float((stats.wilcoxon(np.stack(blocks), axis=1, method="asymptotic").pvalue <= 0.05).mean())
    assert_share(
        f"Wilcoxon over 30 blocks, backbone share {backbone_share}",
        share,
        (known - 0.015, known + 0.015),
        n_replications,
    )


@replications
@pytest.mark.parametrize(("n_seeds", "attained"), [(6, 0.03125), (8, 12 / 256), (10, 50 / 1024)])
def test_sign_flips_reject_as_often_as_their_steps_allow(n_replications: int, n_seeds: int, attained: float) -> None:
    """p moves in steps of 2 / 2^S: the level attained is the largest step that 0.05 allows."""
    generator = np.random.default_rng([3, n_seeds])
    rejected = 0
    for differences in generator.normal(size=(n_replications, n_seeds)):
        result = sign_flip_test(differences)
        assert isinstance(result, SignFlipTest)
        rejected += result.p_value <= 0.05
    assert_share(
        f"sign flips, type I, {n_seeds} seeds",
        rejected / n_replications,
        (attained, attained),
        n_replications,
    )


@replications
@pytest.mark.parametrize(("n_seeds", "n_real"), [(5, 0), (10, 0), (10, 2)])
def test_holm_keeps_the_family_wise_error(n_replications: int, n_seeds: int, n_real: int) -> None:
    """Four comparisons share one arm; the first `n_real` baselines are worse by far, the others alike."""
    generator = np.random.default_rng([4, n_seeds, n_real])
    false_alarms = uncorrected = 0
    effects = np.where(np.arange(4) < n_real, 10.0, 0.0)[:, None]
    for _ in range(n_replications):
        arms = generator.normal(size=(5, n_seeds))
        family = compare_family(arms[0] - arms[1:] + effects)[n_real:]
        false_alarms += any(one.p_holm <= 0.05 for one in family)
        uncorrected += any(one.paired.p_value <= 0.05 for one in family)
    share, name = false_alarms / n_replications, f"{n_seeds} seeds, {n_real} of 4 real"
    print(f"\nwithout correction, {name}: {uncorrected / n_replications:.4f}")
    assert_share(f"Holm, family-wise error, {name}", share, (0.03, 0.05), n_replications)
    assert uncorrected > false_alarms


@replications
@seeds
def test_prediction_interval_covers_one_more_run(n_replications: int, n_seeds: int) -> None:
    covered = 0
    for values in np.random.default_rng([5, n_seeds]).normal(86, 0.4, size=(n_replications, n_seeds + 1)):
        low, high = prediction_interval(values[:-1])
        covered += low <= values[-1] <= high
    assert_share(
        f"prediction interval, coverage, {n_seeds} seeds",
        covered / n_replications,
        (0.95, 0.95),
        n_replications,
    )


@replications
@seeds
def test_power_at_the_minimum_detectable_difference(n_replications: int, n_seeds: int) -> None:
    difference = minimum_detectable_difference(0.4, n_seeds)
    data = np.random.default_rng([6, n_seeds]).normal(difference, 0.4, size=(n_replications, n_seeds))
    share = float(np.mean([paired_t_test(row).p_value <= 0.05 for row in data]))
    assert_share(f"power at the detectable difference, {n_seeds} seeds", share, (0.8, 0.8), n_replications)


@replications
def test_power_with_the_seeds_needed(n_replications: int) -> None:
    """Whole seeds overshoot: the power is the smallest above 0.8 that a whole number gives."""
    aim = Aim(alpha=0.0125)
    n_seeds, n_equivalence = seeds_needed(0.5, 0.4, aim), seeds_needed_for_equivalence(0.2, 0.4, 0.5)
    assert n_seeds is not None
    assert n_equivalence is not None
    generator = np.random.default_rng(7)
    found = generator.normal(0.5, 0.4, size=(n_replications, n_seeds))
    equal = generator.normal(0.2, 0.4, size=(n_replications, n_equivalence))
    share = float(np.mean([paired_t_test(row).p_value <= aim.alpha for row in found]))
    assert_share(f"power with the {n_seeds} seeds needed", share, (0.8, 0.86), n_replications)
    share = float(np.mean([equivalence_p_value(row, 0.5) <= 0.05 for row in equal]))
    assert_share(f"equivalence, power with the {n_equivalence} seeds needed", share, (0.8, 0.84), n_replications)


@replications
@seeds
def test_equivalence_keeps_its_level_at_the_margin(n_replications: int, n_seeds: int) -> None:
    generator = np.random.default_rng([8, n_seeds])
    for sd, rates in ((0.1, (0.05, 0.05)), (0.6, (0.0, 0.05))):
        data = generator.normal(0.5, sd, size=(n_replications, n_seeds))
        share = float(np.mean([equivalence_p_value(row, 0.5) <= 0.05 for row in data]))
        assert_share(f"equivalence, type I at the margin, {n_seeds} seeds, sd {sd}", share, rates, n_replications)


@replications
def test_interaction_test_keeps_its_level(n_replications: int) -> None:
    """Methods differ alike on all pairs, pairs differ, and trained backbones are shared."""
    generator = np.random.default_rng(9)
    methods, rejected = np.array([0.0, 0.5, 1.0, 4.0])[:, None, None], 0
    for _ in range(n_replications):
        noise = np.stack([shared_backbone_differences(generator, 5, 0.5) for _ in range(4)])
        common = 2 * shared_backbone_differences(generator, 5, 0.9)
        result = interaction_test(methods + common + noise, generator, n_resamples=199)
        assert isinstance(result, InteractionTest)
        rejected += result.p_value <= 0.05
    assert_share("interaction, type I", rejected / n_replications, (0.05, 0.05), n_replications)


Draw = Callable[[np.random.Generator, int, int, int], Floats]


def crossed_effects(seed: float, image: float, rest: float) -> Draw:
    """Normal effects with these standard deviations around 0, (K, S, N)."""

    def draw(generator: np.random.Generator, n_draws: int, n_seeds: int, n_images: int) -> Floats:
        seeds_part = generator.normal(scale=seed, size=(n_draws, n_seeds, 1))
        images_part = generator.normal(scale=image, size=(n_draws, 1, n_images))
        return np.asarray(seeds_part + images_part + generator.normal(scale=rest, size=(n_draws, n_seeds, n_images)))

    return draw


def right_and_wrong(backbone: float) -> Draw:
    """Two methods of one accuracy on six pairs, right where a score is above 0: shared backbones, hard images."""

    def draw(generator: np.random.Generator, n_draws: int, n_seeds: int, n_images: int) -> Floats:
        def correct(difficulty: Floats) -> NDArray[np.bool_]:
            networks = generator.normal(scale=backbone, size=(n_seeds, 4))
            own = generator.normal(scale=0.4, size=n_images)
            pairs = np.stack([networks[:, first] + networks[:, second] for first, second in PAIRS], axis=1)
            noise = generator.normal(scale=0.5, size=(n_seeds, 6, n_images))
            return np.asarray(1.3 + difficulty + own + pairs[:, :, None] + noise > 0)

        def one() -> Floats:
            difficulty = generator.normal(size=n_images)
            return correctness_difference(correct(difficulty), correct(difficulty))

        return np.stack([one() for _ in range(n_draws)])

    return draw


CROSSED = {
    "seeds decide": crossed_effects(1.0, 1.0, 1.0),
    "seeds and images alike": crossed_effects(0.1, 2.0, 1.0),
    "images decide": crossed_effects(0.0, 1.0, 0.3),
    "nothing but scatter": crossed_effects(0.0, 0.0, 1.0),
    "right and wrong, seeds vary": right_and_wrong(0.1),
    "right and wrong, seeds alike": right_and_wrong(0.0),
}


def crossed_coverage(draw: Draw, n_seeds: int, n_replications: int) -> tuple[float, float]:
    """Share of intervals that hold the true 0: as reported, and plain percentiles of the same resamples."""
    generator = np.random.default_rng([10, n_seeds])
    covered = plain = 0
    for _ in range(n_replications // 50):
        deltas, state = draw(generator, 50, n_seeds, 300), int(generator.integers(2**32))
        low, high = crossed_intervals(deltas, np.random.default_rng(state), n_resamples=1000).T
        covered += int(((low <= 0) & (high >= 0)).sum())
        resamples = resampled_means(deltas, np.random.default_rng(state), 1000)
        low, high = np.quantile(resamples, [0.025, 0.975], axis=1)
        plain += int(((low <= 0) & (high >= 0)).sum())
    return covered / n_replications, plain / n_replications


@replications
@seeds
@pytest.mark.parametrize("rule", CROSSED)
def test_crossed_interval_covers_the_difference_over_seeds_and_images(
    n_replications: int, n_seeds: int, rule: str
) -> None:
    """Nominal 95 %; 94 to 96 % where a main effect decides, more where only scatter is left to resample."""
    covered, plain = crossed_coverage(CROSSED[rule], n_seeds, n_replications)
    print(f"\nplain percentiles, {rule}, {n_seeds} seeds: {plain:.4f}")
    high = {"nothing but scatter": 0.985, "right and wrong, seeds alike": 0.975}.get(rule, 0.96)
    assert_share(f"crossed interval, coverage, {rule}, {n_seeds} seeds", covered, (0.94, high), n_replications)
    if rule == "seeds decide":
        assert plain < 0.92
    if rule == "nothing but scatter":
        assert plain > 0.99


@replications
def test_better_is_seldom_said_without_an_effect_and_said_with_one(n_replications: int) -> None:
    """Ten seeds, 300 images: two methods alike, or every accuracy of one six points higher.

    Over seeds alone these very images often favour one method; "better" and "worse" are for other images too.
    """
    generator, draw = np.random.default_rng(11), right_and_wrong(0.1)
    words: dict[float, list[str]] = {0.0: [], 6.0: []}
    for _ in range(n_replications // 50):
        deltas = 100 * draw(generator, 50, 10, 300)
        crossed = crossed_intervals(deltas, generator, n_resamples=1000)
        for effect, said in words.items():
            for delta, (low, high) in zip(deltas + effect, crossed + effect, strict=True):
                (one,) = compare_family(delta.mean(axis=1)[None])
                both = (float(low), float(high))
                said.append(comparison_verdict(Evidence(10, one.p_holm, one.paired.interval, both, one.equivalence_p)))
    for effect, said in words.items():
        print(f"\neffect {effect}:", {word: said.count(word) / n_replications for word in sorted(set(said))})
    wrong = words[0.0].count("better") + words[0.0].count("worse")
    here = sum(word.endswith("on this test set") for word in words[0.0])
    assert_share('"better" or "worse" without an effect', wrong / n_replications, (0.03, 0.06), n_replications)
    assert here > wrong
    assert words[6.0].count("better") > 0.95 * n_replications
