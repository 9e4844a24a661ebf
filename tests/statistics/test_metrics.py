import numpy as np
import pytest
from sklearn import metrics as reference

from benchmark.statistics.metrics import all_metrics, expected_calibration_error


def test_equal_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(200, 7)).astype(np.float32), rng.integers(0, 7, 200)
    got = all_metrics(logits, labels)
    predicted = logits.argmax(1)
    probabilities = np.exp(logits.astype(np.float64))
    probabilities /= probabilities.sum(1, keepdims=True)
    assert got["accuracy"] == pytest.approx(reference.accuracy_score(labels, predicted), abs=1e-12)
    assert got["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(labels, predicted), abs=1e-12)
    assert got["macro_f1"] == pytest.approx(reference.f1_score(labels, predicted, average="macro"), abs=1e-12)
    assert got["nll"] == pytest.approx(reference.log_loss(labels, probabilities), abs=1e-9)


def test_calibration_error_of_a_worked_example() -> None:
    """Two bins: confidence 0.9 twice with one right (gap 0.4), 0.6 twice with both right (gap 0.4)."""
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])
    labels = np.array([0, 1, 0, 1])
    assert expected_calibration_error(probabilities, labels, bins=10) == pytest.approx(0.4)


def test_a_certain_and_right_network_is_calibrated() -> None:
    assert expected_calibration_error(np.eye(3), np.arange(3)) == 0


def test_classes_that_do_not_occur_are_left_out() -> None:
    logits = np.eye(3)[[0, 0, 1, 2]]
    got = all_metrics(logits, np.array([0, 0, 1, 1]))
    assert got["balanced_accuracy"] == pytest.approx((1 + 0.5) / 2)
    assert got["accuracy"] == 0.75
