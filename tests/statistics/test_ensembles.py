"""Ensembles that need no training: chosen on validation alone, and the values that an independent computation gives."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from benchmark.statistics.ensembles import average, greedy_selection, greedy_weights, stacking, temperature_scaled
from benchmark.statistics.ensembles import temperature as best_temperature


def scores(seed: int, images: int = 120, classes: int = 4, networks: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Logits (M, N, C) that lean towards the labels (N,), the first network's the most."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, images)
    lean = np.array([2.0, 1.2, 0.4, 0.3])[:networks, None, None] * np.eye(classes)[labels]
    return generator.normal(size=(networks, images, classes)) + lean, labels


def probabilities(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(logits)
    return exponents / exponents.sum(axis=-1, keepdims=True)


def test_average_is_the_mean_of_probabilities() -> None:
    logits, labels = scores(0)
    expected = sum(probabilities(one) for one in logits).argmax(axis=1)
    assert np.array_equal(average(logits, labels, logits), expected)


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_the_temperature_is_the_one_with_the_smallest_loss(factor: float) -> None:
    logits, labels = scores(1)
    logits = factor * logits[0]

    def loss(t: float) -> float:
        return -float(np.log(probabilities(logits / t)[np.arange(len(labels)), labels]).mean())

    found = best_temperature(logits, labels)
    assert found == pytest.approx(min(np.geomspace(0.05, 20, 4001), key=loss), rel=5e-3)
    assert found == pytest.approx(factor * best_temperature(logits / factor, labels), rel=1e-3)


def test_networks_are_brought_to_their_temperatures_before_they_are_averaged() -> None:
    (validation, labels), (test, _) = scores(2), scores(3)
    loud = np.array([50.0, 1.0, 1.0])[:, None, None]  # one network shouts, and would decide alone
    assert (average(validation, labels, loud * test) == test[0].argmax(axis=1)).mean() > 0.95
    with_loud = temperature_scaled(loud / 10 * validation, labels, loud / 10 * test)
    without = temperature_scaled(validation, labels, test)
    assert (with_loud == without).mean() > 0.99


def test_greedy_selection_finds_the_best_small_ensemble() -> None:
    logits, labels = scores(4, images=60)
    shares = probabilities(logits)
    weights = greedy_weights(shares, labels)
    assert weights.sum() == pytest.approx(1)

    def accuracy(given: np.ndarray) -> float:
        return float((np.tensordot(given, shares, axes=1).argmax(axis=1) == labels).mean())

    tried = [np.array(counts) / sum(counts) for counts in product(range(3), repeat=3) if sum(counts)]
    assert accuracy(weights) >= accuracy(np.eye(3)[0]) - 1e-12
    assert accuracy(weights) >= max(map(accuracy, tried)) - 1.5 / 60
    first = min(range(3), key=lambda network: -accuracy(np.eye(3)[network]))
    assert weights[first] > 0


def test_a_network_that_knows_nothing_is_not_selected() -> None:
    logits, labels = scores(5, networks=2)
    logits[0] += 20 * np.eye(4)[labels]
    assert greedy_weights(probabilities(logits), labels).tolist() == [1, 0]
    test, _ = scores(6, networks=2)
    assert np.array_equal(greedy_selection(logits, labels, test), test[0].argmax(axis=1))


def test_stacking_learns_which_network_to_believe() -> None:
    (validation, labels), (test, truth) = scores(7, images=600), scores(8, images=600)
    wrong = np.roll(test, 1, axis=2)  # one network calls every class by the name of the next
    validation[1], test[1] = np.roll(validation[0], 1, axis=1), wrong[0]
    right = [
        (found == truth).mean() for found in (average(validation, labels, test), stacking(validation, labels, test))
    ]
    assert right[1] > right[0] + 0.05
    assert stacking(validation[:, :3], np.array([2, 2, 2]), test).tolist() == [2] * 600


@pytest.mark.parametrize("join", [average, temperature_scaled, greedy_selection, stacking])
def test_labels_of_test_images_are_never_seen_and_their_order_changes_nothing(join: object) -> None:
    assert callable(join)
    (validation, labels), (test, _) = scores(9), scores(10)
    order = np.random.default_rng(0).permutation(test.shape[1])
    assert np.array_equal(join(validation, labels, test)[order], join(validation, labels, test[:, order]))
