"""Is a person learnt from and tested on?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmark.data.gate.findings import Finding, Subject

CODES = ("person-overlap",)


def check_persons(subject: Subject) -> Iterator[Finding]:
    """Compare the persons of train and test, or of the folds that stand for them."""
    manifest = subject.manifest
    if manifest.groups is None or subject.split == "groups":
        return
    if subject.split == "kfold":
        names, counts = np.unique(manifest.groups, return_counts=True)
        shared = names[counts > 1]
        what, remedy = "persons whose images folds part", "leave persons out by --set data.split=groups"
    else:
        shared = np.intersect1d(manifest.groups[manifest.is_test], manifest.groups[~manifest.is_test])
        what, remedy = "persons who are in both train and test", "keep each person in one part"
    if shared.size:
        yield Finding("person-overlap", "error", int(shared.size), what, tuple(map(str, shared[:5])), remedy)
