"""What figures are made from: the ledger, the verdicts on it, and each run's test predictions, read once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from benchmark.analysis.facts import SELECTION
from benchmark.analysis.report import Report
from benchmark.ledger import Ledger, Record
from benchmark.reporting.accuracy import data_name
from benchmark.reporting.wording import counted, flag_of, group_of, title_of

Floats = NDArray[np.float64]


class LackingError(Exception):
    """The ledger has nothing for a figure; the message says what is missing and which command brings it."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """One run on the test images in the order of their ids: (N,) true class, top class, its probability."""

    label: NDArray[np.int64]
    top: NDArray[np.int64]
    confidence: Floats

    @property
    def right(self) -> NDArray[np.bool_]:
        """(N,) whether the top class is the true one."""
        found: NDArray[np.bool_] = self.label == self.top
        return found


@dataclass(frozen=True, eq=False)
class Source:
    """A ledger and its report."""

    ledger: Ledger
    found: Report

    @property
    def about(self) -> str:
        """The line under every figure: data, profile, seeds, selection."""
        seeds = counted(self.found.n_seeds, "seed")
        return f"{data_name(self.ledger)} · profile {self.found.profile} · {seeds} · epoch selected on validation"

    @property
    def methods(self) -> list[str]:
        """Methods of the main comparison, the paper's first."""
        return self.found.methods

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """Fused groups of the main comparison, in the paper's order."""
        return self.found.pairs

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the labels."""
        return [str(name) for name in self.ledger.experiment["dataset"]["classes"]]

    def title(self, method: str) -> str:
        """Return what a figure calls a method, marked where its predictions depend on the batch."""
        return title_of(self.found, method) + flag_of(self.found, method)

    def group_title(self, group: Iterable[str]) -> str:
        """Return what a figure calls a group of networks."""
        return group_of(self.found, group)

    def runs(self, method: str | None, groups: Iterable[tuple[str, ...]] | None = None) -> list[Record]:
        """Return the runs of a method on the groups of the main comparison, or of a single network on its own."""
        wanted = self.groups if groups is None else groups
        found = [record for group in wanted for record in self._cells.get((method, group), [])]
        return sorted(found, key=lambda record: record.seed)

    def alone(self, backbone: str) -> list[Record]:
        """Return the runs of one network alone, by seed."""
        return self.runs(None, [(backbone,)])

    def kinds(self) -> list[tuple[str, list[Record]]]:
        """Return all networks alone, and each method of the main comparison, with their runs."""
        alone = [record for name in self.ledger.experiment["main"]["backbones"] for record in self.alone(name)]
        return [("Networks alone", alone), *((self.title(method), self.runs(method)) for method in self.methods)]

    def predicted(self, record: Record) -> Predicted:
        """Return one run's test predictions; they are read once."""
        if record.run_id not in self._read:
            self._read[record.run_id] = _predicted(self.ledger, record)
        return self._read[record.run_id]

    @cached_property
    def _cells(self) -> dict[tuple[str | None, tuple[str, ...]], list[Record]]:
        cells: dict[tuple[str | None, tuple[str, ...]], list[Record]] = {}
        for record in self.ledger.records:
            cells.setdefault((record.method, tuple(record.backbones)), []).append(record)
        return cells

    @cached_property
    def _read(self) -> dict[str, Predicted]:
        return {}


def _predicted(ledger: Ledger, record: Record) -> Predicted:
    import pyarrow as pa
    import pyarrow.compute as pc

    table = ledger.prediction_table(record.run_id)
    table = table.filter(pc.equal(table.column("split"), "test"))
    order = pc.sort_indices(table.column("image_id").cast(pa.string()))
    table = table.take(order)
    columns = [f"logit_{c}" for c in range(len(ledger.experiment["dataset"]["classes"]))]
    logits = np.column_stack([table.column(name).to_numpy() for name in columns]).astype(np.float64)
    label = table.column("label").to_numpy().astype(np.int64)
    return Predicted(label, logits.argmax(axis=1), softmax(logits, axis=1).max(axis=1))


def accuracy(record: Record) -> float:
    """Return a run's test accuracy in percent, its epoch selected on validation."""
    return 100 * record.metrics[SELECTION]["accuracy"]


def by_seed(records: Iterable[Record], values: Iterable[Any]) -> Floats:
    """Return (S,) or (S, ...) means over the runs of each seed, seeds in ascending order."""
    found: dict[int, list[Any]] = {}
    for record, value in zip(records, values, strict=True):
        found.setdefault(record.seed, []).append(value)
    return np.array([np.mean(found[seed], axis=0) for seed in sorted(found)], dtype=np.float64)


def spread(values: Floats) -> Floats:
    """Return the sample standard deviation over the first axis, (S, ...) -> (...); NaN for one seed."""
    if len(values) > 1:
        return np.asarray(values.std(axis=0, ddof=1))
    return np.full(values.shape[1:], np.nan)
