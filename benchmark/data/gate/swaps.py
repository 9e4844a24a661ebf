"""Do the class ids of test mean what those of train mean?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmark.data.gate.findings import Finding, Subject

CODES = ("swapped-classes",)
MOST_IMAGES = 6000  # of train that are learnt from
LEVEL = 1e-4
_SIDE = 16


def check_swaps(subject: Subject) -> Iterator[Finding]:
    """Learn the classes of train by linear discriminants of small images, and see where those of test are found.

    Two classes have changed places where the test images that are taken for either speak against their labels: the odds
    of a class to be taken for itself are lower than those of the other class to be taken for it, beyond chance.
    """
    manifest, rows = subject.manifest, subject.readable
    train, test = rows[~manifest.is_test[rows]], rows[manifest.is_test[rows]]
    if not test.size or np.unique(manifest.labels[train]).size < 2:
        return
    confusion = _confusion(subject, train, test)
    names = manifest.classes
    swapped = [
        f"{names[a]} and {names[b]}"
        for a in range(len(names))
        for b in range(a + 1, len(names))
        if _against(confusion[np.ix_((a, b), (a, b))])
    ]
    if swapped:
        yield Finding(
            "swapped-classes",
            "warning",
            len(swapped),
            "pairs of classes that seem swapped between train and test",
            tuple(swapped),
            "compare the class ids of both parts, for instance with the mapping that `ferfuse data check` prints",
        )


def _confusion(subject: Subject, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return how many test images of each class (rows) are taken for each (columns)."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    labels, classes = subject.manifest.labels, len(subject.manifest.classes)
    counts = np.bincount(labels[train], minlength=classes)
    if train.size <= classes or counts[counts > 0].min() < 2:
        return np.zeros((classes, classes), int)  # too few to learn from
    if train.size > MOST_IMAGES:
        train = np.random.default_rng(0).choice(train, MOST_IMAGES, replace=False)
    learnt = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    learnt.fit(_small(subject.facts[train]), labels[train])
    taken = learnt.predict(_small(subject.facts[test]))
    return np.bincount(labels[test] * classes + taken, minlength=classes**2).reshape(classes, classes)


def _small(facts: np.ndarray) -> np.ndarray:
    """Return grey images at a quarter of their pixels, light and contrast taken out, (N, 256)."""
    step = facts["grey"].shape[1] // _SIDE
    blocks = facts["grey"].reshape(len(facts), _SIDE, step, _SIDE, step).mean(axis=(2, 4), dtype=np.float32)
    flat = blocks.reshape(len(facts), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / (flat.std(axis=1, keepdims=True) + 1))


def _against(table: np.ndarray) -> bool:
    """Fisher's exact test that labels (rows) and what they are taken for (columns) exclude each other, (2, 2)."""
    from scipy.stats import fisher_exact

    return bool(fisher_exact(table, alternative="less").pvalue < LEVEL)
