"""What a data set is before its pixels are read: image ids, files, labels and the official split."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np


@dataclass(frozen=True, eq=False)
class Manifest:
    """A list of labelled images in the data set's own file order, training images first.

    Attributes:
        dataset: the data set's name; `title` is how tables call it.
        classes: names of the C classes; a label is an index into them.
        image_ids: N unique names; `files` holds the path of each.
        labels: (N,) integers.
        is_test: (N,) booleans, the official split.
        synthetic: whether the images are drawn, not photographed.
    """

    dataset: str
    title: str
    classes: tuple[str, ...]
    image_ids: tuple[str, ...]
    files: tuple[Path, ...] = field(repr=False)
    labels: np.ndarray = field(repr=False)
    is_test: np.ndarray = field(repr=False)
    synthetic: bool = False

    def __len__(self) -> int:
        return len(self.image_ids)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of names, labels, split, and each file's size and modification time: cheap, but of one machine."""
        digest = hashlib.sha256(self._names_and_labels())
        for file in self.files:
            status = os.stat(file)
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
        memory.mkdir(parents=True, exist_ok=True)
        partial = remembered.with_suffix(f".{os.getpid()}.tmp")
        partial.write_text(json.dumps({"dataset": self.dataset, "digest": found}), encoding="utf-8")
        partial.replace(remembered)
        return found

    def _names_and_labels(self) -> bytes:
        rows = zip(self.image_ids, self.labels.tolist(), self.is_test.tolist(), strict=True)
        listing = "\n".join(f"{name} {label} {int(test)}" for name, label, test in rows)
        return f"{','.join(self.classes)}\n{listing}".encode()
