"""What a data set is before its pixels are read: image ids, files, labels, parts, persons and where they come from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmark.config import UserError
from benchmark.data.memory import write_whole


@dataclass(frozen=True)
class Origin:
    """How a data set was read.

    Attributes:
        format: name of the format.
        parts: the sentence that says where train and test come from.
        mapping: a class as the files write it -> its name in the vocabulary.
        terms: what the licence of the data asks.
        notes: what was left out or decided, a sentence each.
        published: images of each part and class, or of each part, that a complete copy has.
        accounted: pictures that the format leaves out by a rule, which its notes tell, and lists that it read.
        unused: pictures that were found beside the data and are not used, by name.
        other: other files that were found there, and pictures that a dot hides; nobody looked into them.
    """

    format: str = ""
    parts: str = ""
    mapping: dict[str, str] = field(default_factory=dict)
    terms: str = ""
    notes: tuple[str, ...] = ()
    published: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    accounted: frozenset[Path] = frozenset()
    unused: tuple[str, ...] = ()
    other: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Manifest:
    """A list of labelled images in the data set's own file order, training images first.

    Attributes:
        dataset: the data set's name; `title` is how tables call it.
        classes: names of the C classes; a label is an index into them.
        image_ids: N unique names; `files` holds the path of each.
        labels: (N,) integers.
        is_test: (N,) booleans, the official split; all False where there is none.
        synthetic: whether the images are drawn, not photographed.
        groups: (N,) names of the persons, None where they are not known.
        is_validation: (N,) booleans where the data set names its own validation images.
        votes: (N, C) shares of the raters' votes, None where they are not known.
        targets: (N, C) distributions that training learns in place of the labels; None where it learns the labels.
        origin: how it was read.
    """

    dataset: str
    title: str
    classes: tuple[str, ...]
    image_ids: tuple[str, ...]
    files: tuple[Path, ...] = field(repr=False)
    labels: np.ndarray = field(repr=False)
    is_test: np.ndarray = field(repr=False)
    synthetic: bool = False
    groups: np.ndarray | None = field(default=None, repr=False)
    is_validation: np.ndarray | None = field(default=None, repr=False)
    votes: np.ndarray | None = field(default=None, repr=False)
    targets: np.ndarray | None = field(default=None, repr=False)
    origin: Origin = Origin()

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """(N,) booleans by the name of each part that has images."""
        validation = np.zeros(len(self), bool) if self.is_validation is None else self.is_validation
        found = {"train": ~self.is_test & ~validation, "validation": validation, "test": self.is_test}
        return {name: rows for name, rows in found.items() if rows.any()}

    def counts(self, rows: np.ndarray) -> list[int]:
        """Count the images of each class among rows."""
        counted: list[int] = np.bincount(self.labels[rows], minlength=len(self.classes)).tolist()
        return counted

    def take(self, rows: np.ndarray) -> Manifest:
        """Return the images of these rows alone, their order kept."""

        def part(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[rows]

        return replace(
            self,
            image_ids=tuple(self.image_ids[row] for row in rows),
            files=tuple(self.files[row] for row in rows),
            labels=self.labels[rows],
            is_test=self.is_test[rows],
            groups=part(self.groups),
            is_validation=part(self.is_validation),
            votes=part(self.votes),
            targets=part(self.targets),
        )

    @cached_property
    def fingerprint(self) -> str:
        """Hash of names, labels, split, and each file's size and modification time: cheap, but of one machine."""
        digest = hashlib.sha256(self._names_and_labels())
        for file in self.files:
            try:
                status = os.stat(file)
            except FileNotFoundError as error:
                raise UserError(f"{file} is a link to a file that is not there; mend the link or remove it") from error
            digest.update(f"{status.st_size},{status.st_mtime_ns};".encode())
        return digest.hexdigest()[:32]

    def content_digest(self, memory: Path) -> str:
        """Return the hash of names, labels, split and every file's bytes: the same on every machine.

        Args:
            memory: a folder in which the digest is remembered by `fingerprint`, so that files are read once.
        """
        remembered = memory / f"digest-{self.fingerprint}.json"
        if remembered.is_file():
            return str(json.loads(remembered.read_text(encoding="utf-8"))["digest"])
        digest = hashlib.sha256(self._names_and_labels())
        for file in self.files:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        found = digest.hexdigest()[:32]
        write_whole(remembered, json.dumps({"dataset": self.dataset, "digest": found}).encode())
        return found

    def learnt_digest(self, memory: Path) -> str:
        """Return the digest of all that runs learn from: the content's, and the targets' where there are any."""
        content = self.content_digest(memory)
        if self.targets is None:
            return content
        return hashlib.sha256(content.encode() + self.targets.astype("<f4").tobytes()).hexdigest()[:32]

    def _names_and_labels(self) -> bytes:
        rows = zip(self.image_ids, self.labels.tolist(), self.is_test.tolist(), strict=True)
        listing = "\n".join(f"{name} {label} {int(test)}" for name, label, test in rows)
        further = "".join(
            f"\n{name} " + " ".join(map(str, values.tolist()))
            for name, values in (("groups", self.groups), ("validation", self.is_validation))
            if values is not None
        )
        return f"{','.join(self.classes)}\n{listing}{further}".encode()
