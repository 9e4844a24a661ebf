"""What a finished run leaves behind, in the public format (version 1); written whole or not at all.

    <results>/<experiment>/experiment.json              settings, data digest, versions, commit, hardware, plan
    <results>/<experiment>/runs/<run_id>/record.json    written last: its presence means finished
    <results>/<experiment>/runs/<run_id>/predictions.parquet
    <results>/<experiment>/runs/<run_id>/history.csv    one row per epoch
    <results>/<experiment>/runs/<run_id>/failure.json   in place of all that: why the run failed, when, where

A packed ledger holds the same in a few files: experiment.json, records.jsonl, and predictions.parquet and history.csv
with a column `run_id`; `benchmark.ledger.packing` writes it. Whatever reads one form reads the other.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.config import UserError, base_name
from benchmark.ledger.files import read_json, whole_file, write_json, write_text

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
SELECTIONS = ("validation_selected", "last_epoch", "best_test_epoch")
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "nll", "ece")


@dataclass(frozen=True)
class Record:
    """One finished run. Metrics are fractions of 1, by selection rule and name; `titles` is what tables print.

    `batch_dependent` marks a method that declares its predictions to depend on the rest of the batch. `milliseconds` is
    the time that one image takes in use, its backbones included; None where it was not measured. Two runs of the same
    settings differ in it, as in `seconds`.
    """

    run_id: str
    kind: str
    method: str | None
    backbones: list[str]
    seed: int
    dataset: str
    dataset_digest: str
    profile: str
    hyperparameters: dict[str, Any]
    parents: list[str]
    selected_epoch: int
    metrics: dict[str, dict[str, float]]
    parameters: int
    macs: int
    seconds: float
    device: str
    environment: dict[str, Any]
    titles: dict[str, Any] = field(default_factory=dict)
    batch_dependent: bool = False
    milliseconds: float | None = None
    schema: int = SCHEMA

    @property
    def sources(self) -> dict[str, str]:
        """The digest of the source of everything that the run took from a plug-in, by name."""
        found: dict[str, str] = self.hyperparameters.get("sources", {})
        return found


def experiment_folder(results_dir: Path, name: str) -> Path:
    """Return the folder of an experiment."""
    return results_dir / name


def run_folder(experiment: Path, run_id: str) -> Path:
    """Return the folder of a run's record, predictions and history."""
    return experiment / "runs" / run_id


def artifact_folder(experiment: Path, run_id: str) -> Path:
    """Return the folder of what later runs need of a run (weights, features) and the ledger does not."""
    return experiment / "artifacts" / run_id


def is_finished(experiment: Path, run_id: str) -> bool:
    """Tell whether a run's record is there."""
    return (run_folder(experiment, run_id) / "record.json").is_file()


def finished_runs(experiment: Path) -> list[str]:
    """Return the ids of all finished runs."""
    return sorted(path.parent.name for path in (experiment / "runs").glob("*/record.json"))


def write_run(experiment: Path, record: Record, predictions: pd.DataFrame, history: pd.DataFrame) -> None:
    """Write predictions and history, then the record whose presence means finished; an earlier failure is forgotten."""
    folder = run_folder(experiment, record.run_id)
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / "predictions.parquet") as partial:
        predictions.to_parquet(partial, index=False, compression="zstd", write_page_checksum=True)
    write_text(folder / "history.csv", history.to_csv(index=False, lineterminator="\n"))
    write_json(folder / "record.json", asdict(record))
    (folder / "failure.json").unlink(missing_ok=True)


def write_failure(experiment: Path, run_id: str, reason: str, trace: str = "") -> None:
    """Note that a run failed, why, and by which calls; it is not done again until it is asked for."""
    earlier = read_failure(experiment, run_id)
    note = {
        "run_id": run_id,
        "reason": reason,
        "traceback": trace,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "tries": 1 + (earlier["tries"] if earlier else 0),
        "again": False,
    }
    folder = run_folder(experiment, run_id)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "failure.json", note)


def read_failure(experiment: Path, run_id: str) -> dict[str, Any] | None:
    """Read why a run failed; None where it did not. `again` says that it was asked for once more."""
    path = run_folder(experiment, run_id) / "failure.json"
    return read_json(path) if path.is_file() else None


def failed_runs(experiment: Path) -> dict[str, dict[str, Any]]:
    """Return the failures that stand, by run id."""
    notes = (read_json(path) for path in sorted((experiment / "runs").glob("*/failure.json")))
    return {note["run_id"]: note for note in notes if not note["again"]}


def ask_again(experiment: Path, failures: Sequence[dict[str, Any]]) -> None:
    """Let failed runs be done once more; how often they were tried is remembered."""
    for note in failures:
        write_json(run_folder(experiment, note["run_id"]) / "failure.json", {**note, "again": True})


def read_record(experiment: Path, run_id: str) -> Record:
    """Read the record of one finished run.

    Raises:
        UserError: it is damaged.
    """
    path = run_folder(experiment, run_id) / "record.json"
    return parse_record(path.read_text(encoding="utf-8"), str(path))


def read_records(experiment: Path) -> Iterator[Record]:
    packed = experiment / "records.jsonl"
    if packed.is_file():
        lines = packed.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            yield parse_record(line, f"{packed}, line {number}")
        return
    for path in sorted((experiment / "runs").glob("*/record.json")):
        yield parse_record(path.read_text(encoding="utf-8"), str(path))


def parse_record(text: str, where: str) -> Record:
    try:
        return Record(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise UserError(f"{where} is damaged ({error}); delete that run's folder and run it again") from error


def write_experiment(experiment: Path, description: dict[str, Any]) -> None:
    """Write `experiment.json`."""
    experiment.mkdir(parents=True, exist_ok=True)
    write_json(experiment / "experiment.json", {"schema": SCHEMA, **description})


def read_experiment(experiment: Path) -> dict[str, Any] | None:
    """Read `experiment.json`, None where there is none yet.

    Raises:
        UserError: it is damaged.
    """
    path = experiment / "experiment.json"
    if not path.is_file():
        return None
    description = read_json(path)
    if description.get("schema") != SCHEMA:
        raise UserError(f"{path} has format {description.get('schema')}; this version reads format {SCHEMA}")
    return description


def existing_experiment(experiment: Path) -> dict[str, Any]:
    """Read `experiment.json`.

    Raises:
        UserError: there is none.
    """
    description = read_experiment(experiment)
    if description is None:
        raise UserError(f"no experiment at {experiment}; run `ferfuse reproduce` first, or give --experiment NAME")
    return description


def read_audit(experiment: Path) -> list[dict[str, Any]]:
    """Read what the batch-dependence audit found, nothing where there was none."""
    path = experiment / "audit.json"
    findings: list[dict[str, Any]] = read_json(path)["findings"] if path.is_file() else []
    return findings


def is_present(record: Record, description: dict[str, Any]) -> bool:
    """Tell whether a run is of what an experiment is about now: no dropped method, no earlier version of a plug-in."""
    plugins = description.get("plugins", {})
    names = map(base_name, filter(None, [record.method, *record.backbones]))
    current = all(record.sources.get(name) == plugins[name]["digest"] for name in names if name in plugins)
    return current and record.method not in description.get("dropped", [])
