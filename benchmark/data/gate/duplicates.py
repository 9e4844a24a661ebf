"""Images that are there more than once, above all in both train and test."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmark.data.gate.findings import Finding, Subject
from benchmark.data.gate.near import near_pairs

CODES = ("identical-across", "identical-within", "conflicting-labels", "near-across", "near-within")
_ACROSS = "one trained on, one tested on"
_DROP = "take one of each pair out of the list"


def check_duplicates(subject: Subject) -> Iterator[Finding]:
    """Compare all images by their pixels, then by what they look like."""
    labels = subject.manifest.labels
    same, alike = identical_pairs(subject), near_pairs(subject.facts)
    for code, severity, pairs, what, setting in (
        ("identical-across", "error", same[subject.parted(same)], f"identical pairs, {_ACROSS}", "leave-out"),
        ("identical-within", "warning", same[~subject.parted(same)], "identical pairs within a part", ""),
        ("near-across", "warning", alike[subject.parted(alike)], f"pairs that look alike, {_ACROSS}", "leave-out-near"),
        ("near-within", "warning", alike[~subject.parted(alike)], "pairs that look alike within a part", ""),
    ):
        if len(pairs):
            leaves = setting and subject.manifest.is_test.any()  # without a test set of its own nothing can be left out
            remedy = f"--set data.duplicates={setting} leaves out those that are not test images" if leaves else _DROP
            yield Finding(code, severity, len(pairs), what, subject.pair_names(pairs), remedy)
    conflicting = same[labels[same[:, 0]] != labels[same[:, 1]]]
    if len(conflicting):
        yield Finding(
            "conflicting-labels",
            "warning",
            len(conflicting),
            "pairs of identical images with two different labels",
            subject.pair_names(conflicting),
            "look at them and correct one label, or take both out",
        )


def identical_pairs(subject: Subject) -> np.ndarray:
    """Return (K, 2) rows of images with the same pixels, each image with the next of its kind in the manifest's order.

    Training images come first there, so that images in both parts always give a pair across.
    """
    rows = subject.readable
    rows = rows[np.argsort(subject.facts["pixels"][rows], kind="stable")]
    pixels = subject.facts["pixels"][rows]
    same = np.flatnonzero(pixels[1:] == pixels[:-1])
    return np.column_stack([rows[same], rows[same + 1]])
