"""Does the file order tell the class? A model whose prediction depends on its batch could then read it off."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmark.data.gate.findings import Finding, Subject

CODES = ("file-order",)
BATCH = 48  # images, the paper's
LEAST_GAIN = 0.02
_SHUFFLES = 200


def check_order(subject: Subject) -> Iterator[Finding]:
    """Guess every test image's class by the other labels of its batch, in file order and shuffled."""
    manifest = subject.manifest
    if not manifest.is_test.any():
        return
    labels = manifest.labels[manifest.is_test]
    in_order, single = neighbour_accuracy(labels, len(manifest.classes))
    drawn = np.random.default_rng(0)
    shuffled = [neighbour_accuracy(drawn.permutation(labels), len(manifest.classes))[0] for _ in range(_SHUFFLES)]
    gain = in_order - float(np.mean(shuffled))
    if in_order > max(shuffled) and gain >= LEAST_GAIN:
        batches = -(-len(labels) // BATCH)
        yield Finding(
            "file-order",
            "warning",
            single,
            f"of {batches} test batches of {BATCH} in file order hold a single class; a guess by the other labels of a "
            f"batch is right for {100 * in_order:.1f} % of images, for {100 * (in_order - gain):.1f} % when shuffled",
            (),
            "audit the methods: what depends on its batch gains up to this much",
        )


def neighbour_accuracy(labels: np.ndarray, classes: int) -> tuple[float, int]:
    """Return how often the most frequent other label of its batch is an image's own, and how many batches hold one
    class."""
    counts = np.array(
        [np.bincount(labels[start : start + BATCH], minlength=classes) for start in range(0, len(labels), BATCH)]
    )
    others = counts[:, None, :] - np.eye(classes, dtype=int)  # (batch, own class, count of each other label)
    right = others.argmax(axis=2) == np.arange(classes)
    return float((counts * right).sum() / len(labels)), int((counts.max(axis=1) == counts.sum(axis=1)).sum())
