"""Tuning studies in MLflow: a run for each study below the experiment's own, and a run for each of its trials."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param

from benchmark.tracking.content import KIND, RUN_ID
from benchmark.tracking.store import Mirror
from benchmark.tuned import TUNING


def write_studies(mirror: Mirror, folder: Path) -> None:
    """Write the studies of an experiment, and those of their trials that MLflow does not hold."""
    for path in sorted((folder / TUNING).glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        for number, study in enumerate(found["studies"], start=1):
            _write_study(mirror, found, study, f"tuning {found['target']} · study {number} · seed {study['seed']}")


def _write_study(mirror: Mirror, found: dict[str, Any], study: dict[str, Any], title: str) -> None:
    """Write a study and its new trials; one that went on is written below the run that is there."""
    trials = [trial for trial in study["trials"] if _key(study, trial) not in mirror.known]
    if not trials:
        return
    start, end = _milliseconds(trials[0]), _milliseconds(trials[-1], ended=True)
    known = mirror.known.get(study["name"])
    run = known or mirror.create_child(title, {RUN_ID: study["name"], KIND: "study"}, start)
    for trial in trials:
        _write_trial(mirror, found["target"], study, trial, run.info.run_id)
    metrics = {
        "validation/accuracy": study["best_validation_accuracy"],
        "tuning/trials": len(study["trials"]),
        "tuning/epochs": sum(trial["epochs"] for trial in study["trials"]),
    }
    mirror.client.log_batch(
        run.info.run_id,
        metrics=[Metric(name, float(value), end, 0) for name, value in metrics.items()],
        params=[] if known else [Param("tuned", found["target"]), Param("seed", str(study["seed"]))],
    )
    mirror.end_child(study["name"], run, end)


def _write_trial(mirror: Mirror, target: str, study: dict[str, Any], trial: dict[str, Any], parent: str) -> None:
    tags = {RUN_ID: _key(study, trial), KIND: "trial", "state": trial["state"]}
    run = mirror.create_child(
        f"{target} · trial {trial['number']} · {trial['state']}", tags, _milliseconds(trial), parent
    )
    end = _milliseconds(trial, ended=True)
    metrics = [Metric("epoch/validation_accuracy", value, end, int(step)) for step, value in trial["curve"].items()]
    if trial["validation_accuracy"] is not None:
        metrics.append(Metric("validation/accuracy", trial["validation_accuracy"], end, 0))
    if trial["cost"] is not None:
        metrics.append(Metric("cost/parameters", trial["cost"], end, 0))
    params = [Param(name, str(value)) for name, value in {"tuned": target, **trial["values"]}.items()]
    mirror.client.log_batch(run.info.run_id, metrics=metrics, params=params)
    mirror.end_child(_key(study, trial), run, end)


def _key(study: dict[str, Any], trial: dict[str, Any]) -> str:
    return f"{study['name']} · trial {trial['number']}"


def _milliseconds(trial: dict[str, Any], *, ended: bool = False) -> int:
    seconds = (trial["started"] or time.time()) + ended * trial["seconds"]
    return int(1000 * seconds)
