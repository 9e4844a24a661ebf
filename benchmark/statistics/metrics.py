"""Metrics of one run from its logits."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax
from sklearn.metrics import f1_score

ECE_BINS = 15


def all_metrics(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return accuracy, balanced accuracy, macro F1, negative log likelihood and calibration error.

    Args:
        logits: (N, C) scores whose softmax is the prediction.
        labels: (N,) integers below C.

    Returns:
        Fractions of 1, but `nll`, which is in nats. Balanced accuracy, the field's "mean class accuracy", and macro F1
        run over the classes that occur in `labels`.
    """
    predicted = logits.argmax(axis=1)
    log_probabilities = log_softmax(logits.astype(np.float64), axis=1)
    classes = np.unique(labels)
    # Recall over occurring classes only; sklearn's own function warns when a prediction names another class.
    recalls = [np.mean(predicted[labels == c] == c) for c in classes]
    return {
        "accuracy": float(np.mean(predicted == labels)),
        "balanced_accuracy": float(np.mean(recalls)),
        "macro_f1": float(f1_score(labels, predicted, labels=classes, average="macro", zero_division=0)),
        "nll": float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        "ece": expected_calibration_error(np.exp(log_probabilities), labels),
    }


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = ECE_BINS) -> float:
    """Average |accuracy - confidence| over equal-width bins of the top probability, weighted by their images.

    Args:
        probabilities: (N, C), rows summing to 1.
        labels: (N,) integers.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))
