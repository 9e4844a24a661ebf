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

import hashlib
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from benchmark.config import UserError, base_name
from benchmark.ledger.files import (
    REMEDY,
    digest_of,
    parse_json,
    read_json,
    read_rows,
    whole_file,
    write_json,
    write_text,
)
from benchmark.ledger.ids import run_label
from benchmark.ledger.schema import SCHEMA, ExperimentFile, RecordFile

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

LONGEST_NAME = 120
REDO = "delete that run's folder and run it again, or restore it"
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "nll", "ece")


@dataclass(frozen=True)
class Record:
    """One finished run. Metrics are fractions of 1, by selection rule and name; `titles` is what tables print.

    `batch_dependent` marks a method that declares its predictions to depend on the rest of the batch. `milliseconds` is
    the time that one image takes in use, its backbones included; None where it was not measured. Two runs of the same
    settings differ in it, as in `seconds`. `digests` are those of the content of predictions and history.
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
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """A line that names the run for people."""
        return run_label(self.method, self.backbones, self.seed)

    @property
    def sources(self) -> dict[str, str]:
        """The digest of the source of everything that the run took from a plug-in, by name."""
        found: dict[str, str] = self.hyperparameters.get("sources", {})
        return found


def experiment_folder(results_dir: Path, name: str) -> Path:
    """Return the folder of an experiment.

    Raises:
        UserError: the name leads out of the results folder, or is none that a file can have.
    """
    parts = name.split("/")
    if not name.strip() or len(name) > LONGEST_NAME or any(part.strip() in ("", ".", "..") for part in parts):
        raise UserError(f"{name[:60]!r} is no name for an experiment; choose one such as demo or reference/mine")
    if any(ord(letter) < 32 or letter in '\\:*?"<>|' for letter in name):
        raise UserError(f'{name[:60]!r} is no name for an experiment: no line break, and none of \\ : * ? " < > |')
    return results_dir / name


def run_folder(experiment: Path, run_id: str) -> Path:
    """Return the folder of a run's record, predictions and history."""
    return experiment / "runs" / run_id


def artifact_folder(experiment: Path, run_id: str) -> Path:
    """Return the folder of what later runs need of a run (weights, features) and the ledger does not."""
    return experiment / "artifacts" / run_id


def is_finished(experiment: Path, run_id: str) -> bool:
    """Tell whether a run's record is there, in a folder of its own or packed."""
    return (run_folder(experiment, run_id) / "record.json").is_file() or run_id in packed_runs(experiment)


def finished_runs(experiment: Path) -> list[str]:
    """Return the ids of all finished runs, packed or not."""
    alone = {path.parent.name for path in (experiment / "runs").glob("*/record.json")}
    return sorted(alone | packed_runs(experiment))


def packed_runs(experiment: Path) -> frozenset[str]:
    """Return the ids of the runs that a packed ledger holds; its file is read once."""
    path = experiment / "records.jsonl"
    if not path.is_file():
        return frozenset()
    return _packed_runs(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _packed_runs(path: Path, _: int) -> frozenset[str]:
    return frozenset(record.run_id for record in read_records(path.parent))


def write_run(experiment: Path, record: Record, predictions: pd.DataFrame, history: pd.DataFrame) -> None:
    """Write predictions and history, then the record whose presence means finished; an earlier failure is forgotten."""
    import pyarrow as pa

    folder = run_folder(experiment, record.run_id)
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / "predictions.parquet") as partial:
        predictions.to_parquet(partial, index=False, compression="zstd", write_page_checksum=True)
    write_text(folder / "history.csv", history.to_csv(index=False, lineterminator="\n"))
    digests = {
        "predictions": predictions_digest(pa.Table.from_pandas(predictions, preserve_index=False)),
        "history": history_digest(read_rows(folder / "history.csv")),
    }
    write_json(folder / "record.json", asdict(replace(record, digests=digests)))
    (folder / "failure.json").unlink(missing_ok=True)


def predictions_digest(table: pa.Table) -> str:
    """Return the digest of what a run predicted: image ids, parts, labels and scores in their order, however stored."""
    import numpy as np
    import pyarrow as pa

    found = hashlib.sha256()
    for name in ("image_id", "split"):
        found.update("\n".join(table.column(name).cast(pa.string()).to_pylist()).encode())
    found.update(table.column("label").to_numpy().astype("<i8").tobytes())
    for name in sorted(column for column in table.column_names if column.startswith("logit_")):
        found.update(name.encode() + np.ascontiguousarray(table.column(name).to_numpy(), dtype="<f4").tobytes())
    return found.hexdigest()[:32]


def history_digest(rows: Sequence[dict[str, str]]) -> str:
    """Return the digest of a run's epochs as they are written, empty cells left out."""
    return digest_of([{name: text for name, text in row.items() if text} for row in rows])


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
    """Read the record of one finished run, packed or not.

    Raises:
        UserError: it is damaged.
    """
    path = run_folder(experiment, run_id) / "record.json"
    if path.is_file():
        return parse_record(_text(path), str(path))
    return next(record for record in read_records(experiment) if record.run_id == run_id)


def read_records(experiment: Path) -> Iterator[Record]:
    """Yield the records of a ledger: those that are packed, and those in folders of their own beside them."""
    packed, seen = experiment / "records.jsonl", set()
    if packed.is_file():
        for number, line in enumerate(_text(packed).splitlines(), start=1):
            record = parse_record(line, f"{packed}, line {number}")
            seen.add(record.run_id)
            yield record
    for path in sorted((experiment / "runs").glob("*/record.json")):
        if path.parent.name not in seen:
            yield parse_record(_text(path), str(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); {REMEDY}") from error


def parse_record(text: str, where: str) -> Record:
    """Return a record; unknown fields are left out.

    Raises:
        UserError: its seal is broken, or a field is missing or not what it has to be; it names both.
    """
    values = parse_json(text, where, REDO)
    try:
        return Record(**RecordFile.model_validate(values).model_dump(by_alias=True))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        name = ".".join(map(str, fault["loc"]))
        what = f"field '{name}' is missing" if fault["type"] == "missing" else f"field '{name}': {fault['msg']}"
        raise UserError(f"{where} is damaged ({what}); {REDO}") from error


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


def again(description: Mapping[str, Any], *more: str) -> str:
    """Return the command that goes on with an experiment, with more options: as it was typed, where that is kept."""
    kept = description.get("command") or f"ferfuse reproduce --experiment {description.get('experiment', 'NAME')}"
    return " ".join([str(kept), *more])


def existing_experiment(experiment: Path) -> dict[str, Any]:
    """Read `experiment.json`.

    Raises:
        UserError: there is none.
    """
    description = read_experiment(experiment)
    if description is None:
        raise UserError(f"no experiment at {experiment}; `ferfuse list experiments` has the names of those there are")
    try:
        ExperimentFile.model_validate(description)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        name = ".".join(map(str, fault["loc"]))
        what = f"'{name}' is missing" if fault["type"] == "missing" else f"'{name}': {fault['msg']}"
        raise UserError(f"{experiment / 'experiment.json'} is damaged ({what}); {REMEDY}") from error
    return description


def read_findings(experiment: Path, check: str = "audit") -> list[dict[str, Any]]:
    """Read what a check of trained runs found, "audit" or "transfer"; nothing where there was none."""
    path = experiment / f"{check}.json"
    findings: list[dict[str, Any]] = read_json(path)["findings"] if path.is_file() else []
    return findings


def add_findings(experiment: Path, check: str, found: Iterable[dict[str, Any]], key: tuple[str, ...]) -> Path:
    """Add to what a check found; a finding replaces an earlier one that has the same values under `key`."""
    known = {tuple(one[name] for name in key): one for one in [*read_findings(experiment, check), *found]}
    path = experiment / f"{check}.json"
    write_json(path, {"findings": [known[values] for values in sorted(known)]})
    return path


def is_present(record: Record, description: dict[str, Any]) -> bool:
    """Tell whether a run is of what an experiment is about now: no dropped method, no earlier version of a plug-in."""
    plugins = description.get("plugins", {})
    names = map(base_name, filter(None, [record.method, *record.backbones]))
    current = all(record.sources.get(name) == plugins[name]["digest"] for name in names if name in plugins)
    return current and record.method not in description.get("dropped", [])
