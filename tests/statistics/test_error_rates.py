"""Simulated error rates, coverage and power of what the reports decide with.

Each simulation draws data by a known rule, runs the functions of `benchmark.statistics` on them, and asks
whether the share of wrong answers lies in the band that a binomial count of that many replications leaves
around the nominal rate (99.9 %, fixed generators). `pytest -s` prints the shares. The slow tier repeats all
with 10 000 replications.
"""

from collections.abc import Callable
from itertools import combinations
from math import sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from benchmark.statistics.comparison import Protocol, compare_differences
from benchmark.statistics.crossed import correctness_difference, crossed
from benchmark.statistics.interaction import InteractionTest, interaction_test
from benchmark.statistics.paired import paired_t_test
from benchmark.statistics.power import minimum_detectable_difference
from benchmark.statistics.prediction import prediction_interval

Floats = NDArray[np.float64]
PAIRS = list(combinations(range(4), 2))

replications = pytest.mark.parametrize(
    "n_replications", [1000, pytest.param(10_000, marks=pytest.mark.slow)], ids=["fast", "slow"]
)
seeds = pytest.mark.parametrize("n_seeds", [5, 10])


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


def crossed_coverage(draw: Draw, n_seeds: int, n_replications: int) -> float:
    """Share of intervals that hold the true 0."""
    generator = np.random.default_rng([10, n_seeds])
    covered = 0
    for _ in range(n_replications // 50):
        for delta in draw(generator, 50, n_seeds, 300):
            low, high = crossed(delta).interval(0.05)
            covered += low <= 0 <= high
    return covered / n_replications


@replications
@seeds
@pytest.mark.parametrize("rule", CROSSED)
def test_crossed_interval_covers_the_difference_over_seeds_and_images(
    n_replications: int, n_seeds: int, rule: str
) -> None:
    """Nominal 95 %; 94 to 96 % where a main effect decides, more where only scatter is left."""
    high = {"nothing but scatter": 0.985, "right and wrong, seeds alike": 0.975}.get(rule, 0.96)
    covered = crossed_coverage(CROSSED[rule], n_seeds, n_replications)
    assert_share(f"crossed interval, coverage, {rule}, {n_seeds} seeds", covered, (0.94, high), n_replications)


@replications
def test_better_is_seldom_said_without_an_effect_and_said_with_one(n_replications: int) -> None:
    """Ten seeds, 300 images: two methods alike, or every accuracy of one six points higher.

    Over seeds alone these very images often favour one method; "better" and "worse" are for other images too.
    """
    generator, draw = np.random.default_rng(11), right_and_wrong(0.1)
    words: dict[float, list[str]] = {0.0: [], 6.0: []}
    for _ in range(n_replications // 50):
        for delta in 100 * draw(generator, 50, 10, 300):
            for effect, said in words.items():
                said.append(compare_differences(delta + effect, Protocol(looks=(10,))).verdict)
    for effect, said in words.items():
        print(f"\neffect {effect}:", {word: said.count(word) / n_replications for word in sorted(set(said))})
    wrong = words[0.0].count("better") + words[0.0].count("worse")
    here = sum(word.endswith("on this test set") for word in words[0.0])
    assert_share('"better" or "worse" without an effect', wrong / n_replications, (0.02, 0.05), n_replications)
    assert here > wrong
    assert words[6.0].count("better") > 0.95 * n_replications
