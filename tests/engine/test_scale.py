"""A plan of 19 200 runs (20 backbones, 190 pairs, 10 methods, 10 seeds) is planned, read and reported in time.

The predictions are made up, 60 validation and 140 test images each.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.config import Settings, load_config
from benchmark.engine.overview import summary, write_plan
from benchmark.engine.schedule import Schedule
from benchmark.ledger import Record, load_ledger, run_folder, write_experiment, write_json, write_text
from benchmark.plan import Run, make_plan
from benchmark.reporting.report import write_report
from tests.conftest import make_record

pytestmark = pytest.mark.slow
FAMILIES = ["resnet18", "vgg11", "resnet34", "vgg13", "mobilenet_v2"]
BACKBONES = [name if copy == 1 else f"{name}#{copy}" for name in FAMILIES for copy in range(1, 5)]
METHODS = [
    "late", "early", "joint", "attention-fusion", "attention-fusion-without-local", "gated", "film", "bilinear",
    "maximum", "majority",
]  # fmt: skip
IMAGES, VALIDATION = 200, 60
RUN_SECONDS, REPORT_SECONDS, MEGABYTES = 10.0, 120.0, 1024


def timed(what: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and the processor time that it took."""
    begun = time.process_time()
    return what(), time.process_time() - begun


def largest_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_config("demo", {"backbones": BACKBONES, "methods": METHODS, "seeds": 10})


@pytest.fixture(scope="module")
def plan(settings: Settings) -> list[Run]:
    runs, seconds = timed(lambda: make_plan(settings, "0" * 32, 7, 600))
    assert len(runs) == 20 * 10 + 190 * 10 * 10
    assert seconds < RUN_SECONDS
    assert largest_memory() < MEGABYTES
    return runs


@pytest.fixture(scope="module")
def description(settings: Settings, plan: list[Run]) -> dict[str, Any]:
    return {
        "experiment": "large",
        "created": "2026-01-01T00:00:00+00:00",
        "command": "ferfuse reproduce",
        "context": "c",
        "main": {"backbones": BACKBONES, "methods": METHODS, "groups": settings.branch_groups()},
        "settings": settings.model_dump(mode="json"),
        "dataset": {
            "name": "synthetic",
            "title": "synthetic faces",
            "digest": "d" * 32,
            "synthetic": True,
            "classes": list("abcdefg"),
            "images": {"train": [60] * 7, "test": [20] * 7},
        },
        "plan": {"key": "k", "runs": [run.run_id for run in plan]},
    }


def record_of(run: Run, accuracy: float = 0.5) -> Record:
    record = make_record(run.kind, run.method, list(run.backbones), run.seed, accuracy)
    return replace(record, run_id=run.run_id, parents=list(run.parents), titles=run.titles)


def test_status_and_scan(plan: list[Run], description: dict[str, Any], tmp_path: Path) -> None:
    """Half of it done; the scheduler takes what is left."""
    write_experiment(tmp_path, description)
    write_plan(tmp_path, plan)
    for run in plan[: len(plan) // 2]:
        folder = run_folder(tmp_path, run.run_id)
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(asdict(record_of(run))))
    found, seconds = timed(lambda: summary(tmp_path))
    assert (found["finished"], found["waiting"]) == (len(plan) // 2, len(plan) // 2)
    assert seconds < RUN_SECONDS
    ledger, seconds = timed(lambda: load_ledger(tmp_path))
    assert len(ledger.records) == len(plan) // 2
    assert seconds < RUN_SECONDS
    _, seconds = timed(lambda: take_all(Schedule(plan[len(plan) // 2 :], plan)))
    assert seconds < RUN_SECONDS
    assert largest_memory() < MEGABYTES


def take_all(schedule: Schedule) -> None:
    while schedule.left:
        for run in schedule.take(8):
            schedule.ended(run, record_of(run))


def test_report_of_a_packed_ledger(plan: list[Run], description: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    with pq.ParquetWriter(folder / "predictions.parquet", SCHEMA, compression="zstd") as writer:
        records = list(written(plan, writer))
    write_text(folder / "records.jsonl", "\n".join(json.dumps(asdict(record)) for record in records) + "\n")
    write_json(folder / "experiment.json", {"schema": 1, **description})
    paths, seconds = timed(lambda: write_report(load_ledger(folder), tmp_path / "reports", 0.5))
    assert (tmp_path / "reports" / "large" / "table2.md") in paths
    assert seconds < REPORT_SECONDS


SCHEMA = pa.schema(
    [("image_id", pa.string()), ("split", pa.string()), ("label", pa.int16())]
    + [(f"logit_{c}", pa.float32()) for c in range(7)]
    + [("run_id", pa.string())]
)


def written(plan: list[Run], writer: pq.ParquetWriter) -> Iterator[Record]:
    """Write a run's predictions and yield its record, for one run after the other."""
    rng = np.random.default_rng(0)
    labels = (np.arange(IMAGES) % 7).astype(np.int16)
    names = [f"{'train' if i < VALIDATION else 'test'}_{i:04d}.jpg" for i in range(IMAGES)]
    splits = ["validation"] * VALIDATION + ["test"] * (IMAGES - VALIDATION)
    tables = []
    for place, run in enumerate(plan, start=1):
        logits = (rng.normal(size=(IMAGES, 7)) + 1.5 * np.eye(7)[labels]).astype(np.float32)
        tables.append(pa.table([names, splits, labels, *logits.T, [run.run_id] * IMAGES], schema=SCHEMA))
        if len(tables) == 400 or place == len(plan):
            writer.write_table(pa.concat_tables(tables))
            tables.clear()
        yield record_of(run, float((logits.argmax(1) == labels)[VALIDATION:].mean()))
