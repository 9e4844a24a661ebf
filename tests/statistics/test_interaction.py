"""Pair × method interaction against full enumeration."""

from itertools import permutations, product

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmark.statistics.interaction import InteractionTest, interaction_test
from benchmark.statistics.paired import Refusal


def size(accuracies: NDArray[np.float64]) -> float:
    """Interaction sum of squares of the means over seeds, cell by cell."""
    means = accuracies.mean(axis=2)
    total = 0.0
    for method in range(means.shape[0]):
        for pair in range(means.shape[1]):
            effect = means[method, pair] - means[method].mean() - means[:, pair].mean() + means.mean()
            total += effect**2
    return total


def enumerated_p_value(accuracies: NDArray[np.float64]) -> float:
    """Share of all (M!)^S relabellings whose interaction is as large, method effects taken out per seed."""
    n_methods, _, n_seeds = accuracies.shape
    centred = accuracies - accuracies.mean(axis=1, keepdims=True)
    orders = list(permutations(range(n_methods)))
    sizes = [
        size(np.stack([centred[list(order), :, seed] for seed, order in enumerate(choice)], axis=2))
        for choice in product(orders, repeat=n_seeds)
    ]
    return float(np.mean(np.array(sizes) >= size(accuracies) * (1 - 1e-9)))


@pytest.mark.parametrize("shape", [(2, 3, 6), (3, 2, 4)])
def test_permutation_p_value_approaches_full_enumeration(shape: tuple[int, int, int]) -> None:
    accuracies = np.random.default_rng(31).normal(size=shape)
    accuracies[0, 0] += 0.8
    result = interaction_test(accuracies, np.random.default_rng(1), n_resamples=20_000)
    assert isinstance(result, InteractionTest)
    exact = enumerated_p_value(accuracies)
    assert 0.01 < exact < 0.9
    assert result.statistic == pytest.approx(size(accuracies), rel=1e-10)
    assert result.p_value == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000) + 1e-4)


def test_a_method_that_is_better_on_every_pair_is_no_interaction() -> None:
    rng = np.random.default_rng(2)
    accuracies = rng.normal(size=(4, 6, 10))
    lifted = accuracies + np.array([0.0, 5.0, -3.0, 20.0])[:, None, None] + 10 * rng.normal(size=(1, 6, 10))
    plain = interaction_test(accuracies, np.random.default_rng(3), n_resamples=2000)
    same = interaction_test(lifted, np.random.default_rng(3), n_resamples=2000)
    assert isinstance(plain, InteractionTest)
    assert isinstance(same, InteractionTest)
    assert same.statistic == pytest.approx(plain.statistic, rel=1e-9)
    assert same.p_value == plain.p_value


def test_a_method_that_wins_on_one_pair_only_is_found() -> None:
    accuracies = np.random.default_rng(4).normal(86, 0.3, size=(5, 6, 5))
    accuracies[0, 0] += 3
    result = interaction_test(accuracies, np.random.default_rng(5), n_resamples=999)
    assert isinstance(result, InteractionTest)
    assert result.p_value <= 0.01


def test_too_few_arrangements_are_refused_with_the_seeds_needed() -> None:
    refusal = interaction_test(np.zeros((2, 6, 5)), np.random.default_rng(0))
    assert isinstance(refusal, Refusal)
    assert (refusal.n_seeds, refusal.seeds_needed) == (5, 6)


@pytest.mark.parametrize("shape", [(1, 6, 5), (4, 1, 5), (4, 6)])
def test_one_method_or_one_pair_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="2 methods and 2 pairs"):
        interaction_test(np.zeros(shape), np.random.default_rng(0))
