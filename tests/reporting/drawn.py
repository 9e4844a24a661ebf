"""Ledgers drawn by a known rule, with as many runs as a test needs, in the packed form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.stats import norm

from benchmark.ledger import Record, run_folder, write_experiment
from tests.conftest import make_record

FIVE = ("late", "early", "joint", "attention-fusion", "attention-fusion-without-local")
VALIDATION = 300


@dataclass(frozen=True)
class Rule:
    """What is true of a drawn ledger.

    Attributes:
        gains: points by which a method's true accuracy differs from `accuracy`.
        by_pair: further points of a method on one pair, by "method on first+second".
        leaks: methods that say that their predictions depend on the batch.
        own: methods that come from a plug-in.
        questions: methods asked about, each with its baselines.
        margin, looks: as planned; no looks are one at the seeds.
        accuracy: of every other fusion method, in percent; single networks are 3 points below.
    """

    gains: dict[str, float] = field(default_factory=dict)
    leaks: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    questions: tuple[tuple[str, tuple[str, ...]], ...] = ()
    methods: tuple[str, ...] = FIVE
    backbones: tuple[str, ...] = ("resnet18", "vgg11", "vgg13", "resnet34")
    seeds: int = 10
    images: int = 1200
    accuracy: float = 85.0
    dataset: str = "synthetic"
    by_pair: dict[str, float] = field(default_factory=dict)
    margin: float = 0.5
    looks: tuple[int, ...] = ()

    @property
    def pairs(self) -> list[tuple[str, ...]]:
        """Every pair of backbones."""
        return list(combinations(self.backbones, 2))


def draw_runs(rule: Rule) -> Iterator[tuple[Record, pa.Table]]:
    """Yield every run: images have a difficulty of their own, networks of one seed and pair err alike."""
    rng = np.random.default_rng(11)
    total = VALIDATION + rule.images
    labels = rng.integers(0, 7, total)
    difficulty = rng.normal(size=total)
    for seed in range(rule.seeds):
        for name in rule.backbones:
            record = make_record("backbone", None, [name], seed, 0)
            yield _run(rule, record, labels, np.sqrt(0.7) * difficulty + np.sqrt(0.3) * rng.normal(size=total))
        for pair in rule.pairs:
            shared = np.sqrt(0.7) * difficulty + np.sqrt(0.2) * rng.normal(size=total)
            for method in rule.methods:
                record = make_record("fusion", method, list(pair), seed, 0)
                yield _run(rule, record, labels, shared + np.sqrt(0.1) * rng.normal(size=total))


def _run(rule: Rule, record: Record, labels: np.ndarray, effort: np.ndarray) -> tuple[Record, pa.Table]:
    percent = rule.accuracy + rule.gains.get(record.method or "", 0) - 3 * (record.method is None)
    percent += rule.by_pair.get(f"{record.method} on {'+'.join(record.backbones)}", 0)
    right = effort < norm.ppf(percent / 100)
    logits = np.eye(7, dtype=np.float32)[np.where(right, labels, (labels + 1) % 7)]
    test = float(right[VALIDATION:].mean())
    later = {"last_epoch": test - 0.002, "best_test_epoch": test + 0.004}
    metrics = {rule: {**values, "accuracy": min(1.0, later.get(rule, test))} for rule, values in record.metrics.items()}
    metrics = {rule: dict.fromkeys(values, values["accuracy"]) for rule, values in metrics.items()}
    leaks = record.method in rule.leaks
    if record.method in rule.own:
        sources = {"sources": {record.method: "present"}}
        record = replace(record, hyperparameters={**record.hyperparameters, **sources})
    return replace(record, metrics=metrics, batch_dependent=leaks, dataset=rule.dataset), _table(labels, logits)


def _table(labels: np.ndarray, logits: np.ndarray) -> pa.Table:
    total = len(labels)
    names = [f"train_{i:05d}.jpg" for i in range(VALIDATION)] + [f"test_{i:04d}.jpg" for i in range(total - VALIDATION)]
    columns = {
        "image_id": pa.array(names),
        "split": pa.array(["validation"] * VALIDATION + ["test"] * (total - VALIDATION)),
        "label": pa.array(labels.astype(np.int16)),
    }
    return pa.table({**columns, **{f"logit_{c}": pa.array(logits[:, c]) for c in range(7)}})


def describe(rule: Rule, name: str) -> dict[str, object]:
    """What `experiment.json` says of a drawn ledger."""
    synthetic = rule.dataset == "synthetic"
    main = [method for method in rule.methods if ":" not in method]
    return {
        "experiment": name,
        "main": {"backbones": list(rule.backbones), "methods": main, "groups": [list(pair) for pair in rule.pairs]},
        "settings": {
            "profile": "demo",
            "methods": main,
            "backbones": list(rule.backbones),
            "seeds": rule.seeds,
            "statistics": {"looks": list(rule.looks), "margin": rule.margin},
            "questions": [{"method": method, "against": list(against)} for method, against in rule.questions],
        },
        "plugins": {name: {"file": None, "digest": "present"} for name in rule.own},
        "dataset": {
            "name": rule.dataset,
            "title": "synthetic faces" if synthetic else "RAF-DB",
            "digest": "d" * 32,
            "synthetic": synthetic,
            "classes": list("abcdefg"),
            "images": {"train": [10] * 7, "test": [rule.images - 6, *[1] * 6]},
        },
    }


def write_packed(folder: Path, rule: Rule, runs: Sequence[tuple[Record, pa.Table]] | None = None) -> Path:
    """Write a packed ledger of these runs, of all runs of the rule where none are given."""
    folder.mkdir(parents=True)
    drawn = draw_runs(rule) if runs is None else runs
    records, tables = [], []
    for record, table in drawn:
        records.append(json.dumps(asdict(record), sort_keys=True))
        tables.append(table.append_column("run_id", pa.array([record.run_id] * len(table))))
    pq.write_table(pa.concat_tables(tables), folder / "predictions.parquet", compression="zstd")
    (folder / "records.jsonl").write_text("\n".join(records) + "\n")
    write_experiment(folder, describe(rule, folder.name))
    return folder


def write_files(folder: Path, rule: Rule, runs: Sequence[tuple[Record, pa.Table]] | None = None) -> Path:
    """Write the same as a folder of runs."""
    for record, table in draw_runs(rule) if runs is None else runs:
        run = run_folder(folder, record.run_id)
        run.mkdir(parents=True)
        pq.write_table(table, run / "predictions.parquet", compression="zstd")
        (run / "record.json").write_text(json.dumps(asdict(record)))
    write_experiment(folder, describe(rule, folder.name))
    return folder
