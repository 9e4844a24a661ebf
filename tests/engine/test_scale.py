"""A plan of 19 200 runs (20 backbones, 190 pairs, 10 methods, 10 seeds) is planned, read and reported in time.

The predictions are made up, 60 validation and 140 test images each.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.config import load_config
from benchmark.engine.overview import summary, write_plan
from benchmark.engine.schedule import Schedule
from benchmark.ledger import Record, load_ledger, run_folder, write_experiment, write_json, write_text
from benchmark.plan import Run, make_plan
from benchmark.reporting.report import write_report
from benchmark.training.device import peak_memory
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


def in_a_fresh_process(what: Callable[[Path], None], folder: Path) -> None:
    """Let it ask for its own memory, whatever other tests of this process have held."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(what, folder).result()


def large_plan() -> tuple[list[Run], dict[str, Any]]:
    """Plan it in time; return the runs and how the experiment describes itself."""
    settings = load_config("demo", {"backbones": BACKBONES, "methods": METHODS, "seeds": 10})
    runs, seconds = timed(lambda: make_plan(settings, "0" * 32, 7, 600))
    assert len(runs) == 20 * 10 + 190 * 10 * 10
    assert seconds < RUN_SECONDS, f"planning took {seconds:.1f} s"
    return runs, {
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
        "plan": {"key": "k", "runs": [run.run_id for run in runs]},
    }


def record_of(run: Run, accuracy: float = 0.5) -> Record:
    record = make_record(run.kind, run.method, list(run.backbones), run.seed, accuracy)
    return replace(record, run_id=run.run_id, parents=list(run.parents), titles=run.titles)


def test_status_and_scan(tmp_path: Path) -> None:
    """Half of it done; the scheduler takes what is left."""
    in_a_fresh_process(look_at_half, tmp_path)


def look_at_half(folder: Path) -> None:
    plan, description = large_plan()
    write_experiment(folder, description)
    write_plan(folder, plan)
    for run in plan[: len(plan) // 2]:
        done = run_folder(folder, run.run_id)
        done.mkdir(parents=True)
        (done / "record.json").write_text(json.dumps(asdict(record_of(run))))
    found, seconds = timed(lambda: summary(folder))
    assert (found["finished"], found["waiting"]) == (len(plan) // 2, len(plan) // 2)
    assert seconds < RUN_SECONDS, f"the status took {seconds:.1f} s"
    ledger, seconds = timed(lambda: load_ledger(folder))
    assert len(ledger.records) == len(plan) // 2
    assert seconds < RUN_SECONDS, f"reading the ledger took {seconds:.1f} s"
    _, seconds = timed(lambda: take_all(Schedule(plan[len(plan) // 2 :], plan)))
    assert seconds < RUN_SECONDS, f"scheduling took {seconds:.1f} s"
    megabytes = peak_memory("cpu") / 2**20
    assert megabytes < MEGABYTES, f"it held {megabytes:.0f} MB"


def take_all(schedule: Schedule) -> None:
    while schedule.left:
        for run in schedule.take(8):
            schedule.ended(run, record_of(run))


def test_report_of_a_packed_ledger(tmp_path: Path) -> None:
    in_a_fresh_process(report_on_all, tmp_path)


def report_on_all(folder: Path) -> None:
    plan, description = large_plan()
    packed = folder / "large"
    packed.mkdir()
    with pq.ParquetWriter(packed / "predictions.parquet", SCHEMA, compression="zstd") as writer:
        records = list(written(plan, writer))
    write_text(packed / "records.jsonl", "\n".join(json.dumps(asdict(record)) for record in records) + "\n")
    write_json(packed / "experiment.json", {"schema": 1, **description})
    paths, seconds = timed(lambda: write_report(load_ledger(packed), folder / "reports", 0.5))
    assert (folder / "reports" / "large" / "table2.md") in paths
    assert seconds < REPORT_SECONDS, f"the report took {seconds:.1f} s"


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
