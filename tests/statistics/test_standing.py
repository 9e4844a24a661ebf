"""The best arm, and those that are not told apart from it."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from benchmark.statistics.standing import top_arms

NOISE = np.array([-0.3, 0.1, 0.2, -0.1, 0.1])


def test_an_arm_far_above_stands_alone_and_near_ones_share() -> None:
    low, high = 80 + NOISE, 90 + NOISE[::-1]
    near = high + np.array([0.2, -0.3, 0.1, 0.2, -0.1])
    assert top_arms([[low, high]]) == [[1]]
    assert top_arms([[low, high, near]]) == [[2, 1]]
    assert top_arms([[low]]) == [[0]]


def test_it_is_every_comparison_of_every_group_under_one_correction() -> None:
    rng = np.random.default_rng(3)
    accuracies = 80 + rng.normal(size=(3, 4, 8)) + np.array([0, 0.4, 0.8, 2.2])[None, :, None]
    pairs = list(combinations(range(4), 2))
    p_values = [stats.ttest_rel(group[a], group[b]).pvalue for group in accuracies for a, b in pairs]
    rejected = multipletests(p_values, alpha=0.05, method="holm")[0].reshape(3, 6)
    assert 0 < rejected.sum() < rejected.size
    for group, row, found in zip(accuracies, rejected, top_arms(accuracies), strict=True):
        top = int(group.mean(axis=1).argmax())
        apart = {next(iter({*pair} - {top})) for pair, told in zip(pairs, row, strict=True) if told and top in pair}
        assert set(found) == set(range(4)) - apart
        assert found[0] == top


def test_more_groups_make_it_harder() -> None:
    arms = np.array([80 + NOISE, 80 + NOISE + [0.4, 0.5, 0.1, 0.6, 0.2]])
    even = np.array([80 + NOISE, 80 + NOISE[::-1]])
    assert top_arms([arms]) == [[1]]
    assert top_arms([arms, *[even] * 4])[0] == [1, 0]


def test_few_seeds_tell_nothing_apart() -> None:
    assert top_arms([[[80.0, 80.1], [90.0, 90.2]]]) == [[1, 0]]
    assert top_arms([[[80.0] * 4, [90.0] * 4]]) == [[1, 0]]
    assert top_arms([[[80.0] * 5, [90.0] * 5]]) == [[1]]


def test_without_a_true_difference_an_arm_is_seldom_told_apart() -> None:
    """Family-wise error at a nominal 5 %: 120 draws of 4 equal arms in 2 groups."""
    rng = np.random.default_rng(8)
    told = sum(any(len(group) < 4 for group in top_arms(rng.normal(size=(2, 4, 6)))) for _ in range(120))
    assert told <= 13


@pytest.mark.parametrize("values", [[80.0], [[[]]], np.zeros((1, 0, 3))])
def test_what_has_no_arms_or_seeds_is_refused(values: object) -> None:
    with pytest.raises(ValueError, match="expected accuracies by group"):
        top_arms(values)


def test_a_missing_accuracy_is_refused() -> None:
    with pytest.raises(ValueError, match="finish these runs"):
        top_arms([[[80.0, float("nan")], [81.0, 82.0]]])
