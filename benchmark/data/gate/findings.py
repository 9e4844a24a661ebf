"""What a check is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from benchmark.data.manifest import Manifest

MOST_EXAMPLES = 5
_NOUNS = {
    "pairs": "pair",
    "images": "image",
    "files": "file",
    "pictures": "picture",
    "classes": "class",
    "parts": "part",
}
_VERBS = {
    "are": "is", "were": "was", "have": "has", "look": "looks", "show": "shows", "hold": "holds", "seem": "seems",
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One kind of fault in one data set.

    The rule of severity: an error is a fact that makes results wrong whoever looks at it (a test image among the
    training images, an image that cannot be decoded, a class that a part lacks); a warning is likely or a matter of
    judgement (images that look alike, an unusual order) and stops nothing.

    Attributes:
        code: its name, which `--accept` takes.
        severity: "error" or "warning".
        count: of images, pairs or classes, as `message` says.
        message: what was found, a sentence.
        examples: some of them.
        remedy: what to do.
    """

    code: str
    severity: str
    count: int
    message: str
    examples: tuple[str, ...]
    remedy: str

    def of_one(self) -> Finding:
        """Return the finding with its message in the singular where the count is 1: the noun before its verbs."""
        if self.count != 1:
            return self
        clause, semicolon, rest = self.message.partition(";")
        words = [_VERBS.get(word, word) for word in clause.split(" ")]
        if words[0] != "of":  # "1 of 19 batches"
            noun = next((i for i, word in enumerate(words) if word in _NOUNS), 0)
            words[noun] = _NOUNS.get(words[noun], words[noun])
        return replace(self, message=" ".join(words) + semicolon + rest)


@dataclass(frozen=True, eq=False)
class Subject:
    """What checks look at.

    Attributes:
        facts: (N,) of scan.FACTS, in the manifest's order.
        split: "official", "kfold" or "groups".
    """

    manifest: Manifest
    facts: np.ndarray
    split: str = "official"

    @cached_property
    def readable(self) -> np.ndarray:
        """Row numbers of the images that could be decoded."""
        return np.flatnonzero(self.facts["fault"] == "")

    def names(self, rows: Sequence[int] | np.ndarray) -> tuple[str, ...]:
        """Return the names of the first images among rows."""
        return tuple(self.manifest.image_ids[row] for row in rows[:MOST_EXAMPLES])

    def pair_names(self, pairs: np.ndarray) -> tuple[str, ...]:
        """Return the names of the first pairs, (K, 2) row numbers."""
        ids = self.manifest.image_ids
        return tuple(f"{ids[first]} = {ids[second]}" for first, second in pairs[:MOST_EXAMPLES])

    def parted(self, pairs: np.ndarray) -> np.ndarray:
        """Tell of (K, 2) pairs whether one image can be learnt from while the other is tested on, (K,)."""
        manifest = self.manifest
        first, second = pairs[:, 0], pairs[:, 1]
        if manifest.is_test.any():
            return np.asarray(manifest.is_test[first] != manifest.is_test[second])
        if self.split == "groups" and manifest.groups is not None:
            return np.asarray(manifest.groups[first] != manifest.groups[second])
        return np.ones(len(pairs), bool)
