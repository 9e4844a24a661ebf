"""The crossed bootstrap against a loop over the same draws, its factor against an analysis of variance."""

import math

import numpy as np
import pandas as pd
import pytest
from benchmark.statistics.bootstrap import (
    CHUNK,
    correctness_difference,
    crossed_interval,
    crossed_intervals,
    draw_counts,
    expansion,
    resampled_means,
)
from numpy.typing import NDArray
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from benchmark.statistics.paired import paired_t_test

N_RESAMPLES = CHUNK + 70


def differences(n_comparisons: int, n_seeds: int, n_images: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(7)
    return rng.integers(-1, 2, size=(n_comparisons, n_seeds, n_images)).astype(float)


def drawn_indices(generator: np.random.Generator, size: int) -> NDArray[np.int64]:
    return np.concatenate([generator.integers(size, size=(rows, size)) for rows in (CHUNK, N_RESAMPLES - CHUNK)])


def test_resampled_means_equal_a_loop_over_the_same_draws() -> None:
    deltas = differences(3, 5, 41)
    fast = resampled_means(deltas, np.random.default_rng(11), N_RESAMPLES)
    generator = np.random.default_rng(11)
    seeds, images = drawn_indices(generator, 5), drawn_indices(generator, 41)
    for comparison, row in zip(deltas, fast, strict=True):
        for index in range(N_RESAMPLES):
            total = 0.0
            for seed in seeds[index]:
                for image in images[index]:
                    total += comparison[seed, image]
            assert row[index] == pytest.approx(total / (5 * 41), abs=1e-12)


def test_interval_is_the_expanded_percentiles_about_the_mean() -> None:
    deltas = differences(2, 5, 41)
    intervals = crossed_intervals(deltas, np.random.default_rng(11), n_resamples=N_RESAMPLES, confidence=0.9)
    means = resampled_means(deltas, np.random.default_rng(11), N_RESAMPLES)
    for delta, replicates, factor, interval in zip(deltas, means, expansion(deltas, 0.9), intervals, strict=True):
        low, high = np.percentile(replicates, [5, 95]) - delta.mean()
        assert interval == pytest.approx([delta.mean() + factor * low, delta.mean() + factor * high], abs=1e-12)


def test_expansion_agrees_with_a_two_way_analysis_of_variance() -> None:
    n_seeds, n_images = 4, 23
    rng = np.random.default_rng(8)
    delta = rng.normal(size=(n_seeds, 1)) + rng.normal(size=n_images) + rng.normal(size=(n_seeds, n_images))
    seed, image = np.indices(delta.shape)
    frame = pd.DataFrame({"delta": delta.ravel(), "seed": seed.ravel(), "image": image.ravel()})
    table = anova_lm(ols("delta ~ C(seed) + C(image)", frame).fit())
    v_seed, v_image, v_rest = table["mean_sq"] / delta.size
    v_boot = v_seed * 3 / 4 + v_image * 22 / 23 + v_rest * 3 * 22 / (4 * 23)
    v_mean = v_seed + v_image - v_rest
    assert v_mean > max(v_seed, v_image)
    nu = v_mean**2 / (v_seed**2 / 3 + v_image**2 / 22 + v_rest**2 / 66)
    expected = math.sqrt(v_mean / v_boot) * stats.t.ppf(0.975, nu) / stats.norm.ppf(0.975)
    assert expansion(delta[None], 0.95) == pytest.approx([expected], rel=1e-10)


def test_the_variance_of_the_resamples_is_as_the_docstring_says() -> None:
    delta = differences(1, 5, 60) + np.linspace(-0.2, 0.2, 5)[:, None]
    v_seed = delta.mean(axis=2).var(ddof=1) / 5
    v_image = delta.mean(axis=1).var(ddof=1) / 60
    rest = delta - delta.mean(axis=2, keepdims=True) - delta.mean(axis=1, keepdims=True) + delta.mean()
    v_rest = (rest**2).sum() / (4 * 59) / (5 * 60)
    v_boot = v_seed * 4 / 5 + v_image * 59 / 60 + v_rest * (4 * 59) / (5 * 60)
    replicates = resampled_means(delta, np.random.default_rng(12), 40_000)
    assert replicates.var() == pytest.approx(v_boot, rel=5 * math.sqrt(2 / 40_000))


def test_seeds_alone_give_the_t_interval() -> None:
    """Every image alike within a seed: only seeds vary, and the interval is near Student's."""
    per_seed = np.random.default_rng(9).normal(size=30)
    interval = crossed_interval(np.repeat(per_seed[:, None], 50, axis=1), np.random.default_rng(1))
    assert interval == pytest.approx(paired_t_test(per_seed).interval, abs=0.03)


def test_images_alone_give_the_normal_interval_of_a_mean() -> None:
    per_image = np.random.default_rng(9).normal(size=900)
    low, high = crossed_interval(np.tile(per_image, (6, 1)), np.random.default_rng(1))
    assert high - low == pytest.approx(2 * 1.96 * per_image.std() / 30, rel=0.03)


def test_same_generator_same_interval_and_comparisons_do_not_touch_each_other() -> None:
    deltas = differences(3, 5, 80)
    first = crossed_intervals(deltas, np.random.default_rng(3), n_resamples=500)
    again = crossed_intervals(deltas, np.random.default_rng(3), n_resamples=500)
    alone = crossed_interval(deltas[1], np.random.default_rng(3), n_resamples=500)
    assert np.array_equal(first, again)
    assert first[1] == pytest.approx(alone, abs=1e-12)
    assert not np.array_equal(first, crossed_intervals(deltas, np.random.default_rng(4), n_resamples=500))


def test_intervals_scale_with_the_unit() -> None:
    deltas = differences(2, 5, 80)
    fractions = crossed_intervals(deltas, np.random.default_rng(3), n_resamples=500)
    points = crossed_intervals(100 * deltas, np.random.default_rng(3), n_resamples=500)
    assert points == pytest.approx(100 * fractions, rel=1e-10)


def test_draws_count_what_they_draw() -> None:
    counts = np.concatenate(list(draw_counts(np.random.default_rng(5), 17, N_RESAMPLES)))
    assert counts.shape == (N_RESAMPLES, 17)
    assert (counts.sum(axis=1) == 17).all()


def test_methods_that_agree_everywhere_have_an_interval_of_zero() -> None:
    assert crossed_interval(np.zeros((5, 40)), np.random.default_rng(0), n_resamples=100) == (0.0, 0.0)


def test_one_seed_gives_no_interval() -> None:
    assert np.isnan(crossed_interval(np.ones((1, 40)), np.random.default_rng(0))).all()


def test_correctness_difference_averages_over_pairs() -> None:
    correct = np.array([[[True, True, False], [True, False, False]]])
    baseline = np.array([[[False, True, False], [True, True, True]]])
    assert correctness_difference(correct, baseline).tolist() == [[0.5, -0.5, -0.5]]
    with pytest.raises(ValueError, match="one shape"):
        correctness_difference(correct, baseline[:, :1])


@pytest.mark.parametrize("shape", [(5, 40), (1, 5, 1)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="finite numbers of shape"):
        crossed_intervals(np.zeros(shape), np.random.default_rng(0))


def test_a_missing_prediction_is_refused() -> None:
    deltas = differences(1, 5, 40)
    deltas[0, 0, 0] = math.nan
    with pytest.raises(ValueError, match="finite numbers of shape"):
        crossed_intervals(deltas, np.random.default_rng(0))
