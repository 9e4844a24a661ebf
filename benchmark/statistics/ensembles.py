"""Ensembles that need no training: trained networks' scores of validation images decide how those of others are joined.

Every function takes M networks' logits of validation images (M, V, C), their labels (V,), and logits of test images
(M, N, C), and returns the predicted classes of the latter (N,).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Ensemble = Callable[[Floats, Labels, Floats], Labels]

ROUNDS = 50  # of greedy selection
LOG_TEMPERATURES = (-3.0, 3.0)


def average(validation: Floats, labels: Labels, test: Floats) -> Labels:
    """Average the probabilities of all networks; validation images are not looked at."""
    return np.asarray(softmax(test, axis=2).mean(axis=0).argmax(axis=1))


def temperature_scaled(validation: Floats, labels: Labels, test: Floats) -> Labels:
    """Average probabilities after each network's logits are divided by the temperature that suits validation best.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks.
    """
    return average(
        validation, labels, np.stack([y / temperature(x, labels) for x, y in zip(validation, test, strict=True)])
    )


def temperature(logits: Floats, labels: Labels) -> float:
    """Return the T that makes the mean of -log softmax(logits / T)[label] smallest, between e^-3 and e^3."""
    from scipy.optimize import minimize_scalar  # here, since tables that join nothing need not wait for it

    def loss(log_t: float) -> float:
        return -float(log_softmax(logits / np.exp(log_t), axis=1)[np.arange(len(labels)), labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=LOG_TEMPERATURES, method="bounded").x))


def greedy_selection(validation: Floats, labels: Labels, test: Floats) -> Labels:
    """Add, time after time, the network that helps the average most on validation; a network may be added again.

    Of equal accuracies the one with the smaller loss is taken; of all the rounds, the first that is best.

    Source: Caruana et al. 2004, Ensemble Selection from Libraries of Models.
    """
    weights = greedy_weights(softmax(validation, axis=2), labels)
    return np.asarray(np.tensordot(weights, softmax(test, axis=2), axes=1).argmax(axis=1))


def greedy_weights(probabilities: Floats, labels: Labels) -> Floats:
    """Return each network's share in the ensemble that greedy selection chooses, from (M, V, C), (M,)."""
    rows = np.arange(len(labels))
    counts, total = np.zeros(len(probabilities)), np.zeros(probabilities.shape[1:])
    found: list[tuple[float, float, Floats]] = []
    for size in range(1, ROUNDS + 1):
        scored = []
        for network, own in enumerate(probabilities):
            mean = (total + own) / size
            loss = -float(np.log(np.maximum(mean[rows, labels], 1e-12)).mean())
            scored.append((-float((mean.argmax(axis=1) == labels).mean()), loss, network))
        wrong, loss, network = min(scored)
        counts[network] += 1
        total = total + probabilities[network]
        found.append((wrong, loss, counts / size))
    return min(found, key=lambda one: one[:2])[2]


def stacking(validation: Floats, labels: Labels, test: Floats) -> Labels:
    """Learn a logistic regression from all networks' log probabilities of the validation images.

    Source: Wolpert 1992, Stacked Generalization.
    """
    if len(np.unique(labels)) == 1:
        return np.full(test.shape[1], labels[0])
    from sklearn.linear_model import LogisticRegression

    def columns(logits: Floats) -> Floats:
        return np.asarray(np.concatenate(list(log_softmax(logits, axis=2)), axis=1))

    learnt = LogisticRegression(solver="newton-cholesky", tol=1e-8).fit(columns(validation), labels)
    return np.asarray(learnt.predict(columns(test)))
