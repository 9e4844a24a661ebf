"""The variance of a mean over seeds and images, against an analysis of variance and by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from benchmark.statistics.crossed import correctness_difference, crossed
from benchmark.statistics.paired import paired_t_test


def test_parts_agree_with_a_two_way_analysis_of_variance() -> None:
    rng = np.random.default_rng(8)
    delta = rng.normal(size=(4, 1)) + rng.normal(size=23) + rng.normal(size=(4, 23))
    seed, image = np.indices(delta.shape)
    frame = pd.DataFrame({"delta": delta.ravel(), "seed": seed.ravel(), "image": image.ravel()})
    table = anova_lm(ols("delta ~ C(seed) + C(image)", frame).fit())
    v_seed, v_image, v_rest = table["mean_sq"] / delta.size
    found = crossed(delta)
    assert (found.seeds, found.images, found.rest) == pytest.approx((v_seed, v_image, v_rest), rel=1e-10)
    variance = v_seed + v_image - v_rest
    nu = variance**2 / (v_seed**2 / 3 + v_image**2 / 22 + v_rest**2 / 66)
    assert found.freedom == pytest.approx(nu, rel=1e-10)
    half = stats.t.isf(0.02, nu) * math.sqrt(variance)
    assert found.interval(0.04) == pytest.approx((delta.mean() - half, delta.mean() + half), rel=1e-10)
    shares = np.array([v_seed - v_rest, v_image - v_rest, v_rest]) / variance
    assert found.shares() == pytest.approx(shares, rel=1e-10)


def test_seeds_alone_give_the_t_interval() -> None:
    per_seed = np.random.default_rng(9).normal(size=7)
    found = crossed(np.repeat(per_seed[:, None], 50, axis=1))
    assert found.interval(0.05) == pytest.approx(paired_t_test(per_seed).interval, rel=1e-10)
    assert found.shares() == pytest.approx((1, 0, 0), abs=1e-12)


def test_images_alone_give_the_t_interval_over_images() -> None:
    per_image = np.random.default_rng(9).normal(size=90)
    found = crossed(np.tile(per_image, (6, 1)))
    assert found.interval(0.05) == pytest.approx(paired_t_test(per_image).interval, rel=1e-10)
    assert found.images_alone == pytest.approx(per_image.var(ddof=1) / 90, rel=1e-10)


def test_images_of_one_person_count_once() -> None:
    """Three copies of every image: without persons the error is √3 too small; with them it is that of one copy."""
    rng = np.random.default_rng(4)
    delta = rng.normal(size=(5, 1)) / 10 + rng.normal(size=40) + rng.normal(size=(5, 40)) / 3
    copies, persons = np.repeat(delta, 3, axis=1), np.repeat(np.arange(40), 3)
    one, grouped = crossed(delta), crossed(copies, persons)
    assert (grouped.seeds, grouped.images, grouped.rest) == pytest.approx((one.seeds, one.images, one.rest), rel=1e-10)
    assert crossed(copies).images == pytest.approx(one.images * 39 / 40 / 3 * 120 / 119, rel=1e-10)
    assert crossed(delta, np.arange(40)) == one


def test_one_seed_image_or_person_tells_nothing() -> None:
    for found in (crossed(np.ones((1, 9))), crossed(np.ones((4, 1))), crossed(np.ones((4, 9)), ["one"] * 9)):
        assert math.isnan(found.seeds)
        assert all(math.isnan(end) for end in found.interval(0.05))


def test_methods_that_agree_everywhere_have_an_interval_of_zero() -> None:
    assert crossed(np.zeros((5, 40))).interval(0.05) == (0.0, 0.0)


def test_correctness_difference_averages_over_pairs() -> None:
    correct = np.array([[[True, True, False], [True, False, False]]])
    baseline = np.array([[[False, True, False], [True, True, True]]])
    assert correctness_difference(correct, baseline).tolist() == [[0.5, -0.5, -0.5]]
    with pytest.raises(ValueError, match="one shape"):
        correctness_difference(correct, baseline[:, :1])


@pytest.mark.parametrize("delta", [np.zeros(5), np.zeros((1, 5, 1)), np.zeros((0, 4)), np.full((2, 3), math.nan)])
def test_what_is_not_a_finite_number_by_seed_and_image_is_refused(delta: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite numbers of shape"):
        crossed(delta)
