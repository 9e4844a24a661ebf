"""What a finished run leaves behind, in the public format (version 1); written whole or not at all.

    <results>/<experiment>/experiment.json              settings, data digest, versions, commit, hardware, plan
    <results>/<experiment>/runs/<run_id>/record.json    written last: its presence means finished
    <results>/<experiment>/runs/<run_id>/predictions.parquet
    <results>/<experiment>/runs/<run_id>/history.csv    one row per epoch
    <results>/<experiment>/runs/<run_id>/failure.json   in place of all that: why the run failed, when, where

A packed ledger holds the same in a few files: experiment.json, records.jsonl, and predictions.parquet and history.csv
with a column `run_id`; `benchmark.packing` writes it. Whatever reads one form reads the other.
"""

from __future__ import annotations

import csv
import errno
import json
import math
import os
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.config import UserError, base_name

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

SCHEMA = 1
STORAGE_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)
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


@dataclass(frozen=True, eq=False)
class Classified:
    """What one run said of its N images, in file order.

    Attributes:
        image_ids: (N,) strings.
        is_test: (N,) whether an image is of the test part; the others are of validation.
        predicted, labels: (N,) class with the highest logit, and true class.
    """

    image_ids: pa.Array
    is_test: NDArray[np.bool_]
    predicted: NDArray[np.int64]
    labels: NDArray[np.int64]

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """(N,) whether the predicted class is the true one."""
        right: NDArray[np.bool_] = self.predicted == self.labels
        return right


@dataclass(frozen=True)
class Ledger:
    """The records of one experiment, in one order whatever the order of the runs.

    Attributes:
        name: the experiment's name.
        experiment: what `experiment.json` says.
        records: sorted by kind, method, backbones and seed.
        root: the experiment's folder; predictions are read from it when asked for.
        aside: finished runs that no table shows: of earlier versions of a plug-in, and of methods that were dropped.
    """

    name: str
    experiment: dict[str, Any]
    records: list[Record]
    root: Path
    aside: list[Record] = field(default_factory=list)

    def of_kind(self, kind: str) -> list[Record]:
        """Return the records of backbones, or of fusion runs."""
        return [record for record in self.records if record.kind == kind]

    def earlier_versions(self, method: str) -> dict[str, int]:
        """Return how many runs other versions of a method's plug-in have, by digest: tested on the same images."""
        name = base_name(method)
        present = self.experiment.get("plugins", {}).get(name, {}).get("digest")
        own = [record for record in self.aside if record.method and base_name(record.method) == name]
        return dict(
            Counter(record.sources.get(name, "unknown") for record in own if record.sources.get(name) != present)
        )

    def predictions(self, run_id: str) -> pd.DataFrame:
        """Read one run's predictions: image_id, split, label, logit_0 ... logit_{C-1}."""
        import pandas as pd  # tables do without it, and it takes half a second

        table = self.prediction_table(run_id)
        return pd.DataFrame({name: table.column(name).to_pandas() for name in table.column_names})

    def prediction_table(self, run_id: str) -> pa.Table:
        """Read one run's predictions as they are stored; what was read last is kept, to be checked and then used.

        Raises:
            UserError: they are missing or damaged.
        """
        if run_id not in self._last_read:
            table = self._read_predictions(run_id)
            self._last_read.clear()
            self._last_read[run_id] = table
        return self._last_read[run_id]

    def _read_predictions(self, run_id: str) -> pa.Table:
        """Read one run's predictions; the file of a packed ledger is read once for all runs."""
        import pyarrow.parquet as pq  # see predictions

        try:
            if self._is_packed:
                return _decoded(self._packed_predictions[run_id])
            path = run_folder(self.root, run_id) / "predictions.parquet"
            return pq.ParquetFile(path, page_checksum_verification=True).read()
        except (OSError, ValueError, KeyError) as error:
            reason = "they are missing" if isinstance(error, KeyError) else " ".join(str(error).split())
            folder = run_folder(self.root, run_id)
            raise UserError(
                f"predictions of run {run_id} cannot be read ({reason}); delete {folder} and run it again"
            ) from error

    def classified(self, run_id: str) -> Classified:
        """Return what a run said of every image; its predictions are read once, whoever asks.

        Raises:
            UserError: they are missing or damaged.
        """
        if run_id not in self._classified:
            table = self.prediction_table(run_id)
            try:
                self._classified[run_id] = _classify(table)
            except (KeyError, ValueError) as error:
                reason = " ".join(str(error).split())
                raise UserError(f"predictions of run {run_id} cannot be used ({reason}); run it again") from error
        return self._classified[run_id]

    @cached_property
    def _last_read(self) -> dict[str, pa.Table]:
        return {}

    @cached_property
    def _classified(self) -> dict[str, Classified]:
        return {}

    @cached_property
    def audit(self) -> list[dict[str, Any]]:
        """What the batch-dependence audit found of each run that tables show, nothing where there was none."""
        aside = {record.run_id for record in self.aside}
        return [finding for finding in read_audit(self.root) if finding["run_id"] not in aside]

    @cached_property
    def repetitions(self) -> list[dict[str, Any]]:
        """How runs that were done again compare with their first time, nothing where none was."""
        path = self.root / "repetitions.json"
        found: list[dict[str, Any]] = _read_json(path)["repetitions"] if path.is_file() else []
        return found

    def history(self, run_id: str) -> list[dict[str, str]]:
        """Read one run's epochs, a row each, as they are written; empty where they are not kept."""
        if self._is_packed:
            return self._packed_histories.get(run_id, [])
        return _read_rows(run_folder(self.root, run_id) / "history.csv")

    @cached_property
    def _packed_histories(self) -> dict[str, list[dict[str, str]]]:
        found: dict[str, list[dict[str, str]]] = {}
        for row in _read_rows(self.root / "history.csv"):
            found.setdefault(row.pop("run_id"), []).append({name: text for name, text in row.items() if text})
        return found

    @cached_property
    def _packed_predictions(self) -> dict[str, pa.Table]:
        """The rows of every run; repeated names are kept once, which makes the whole a third as large."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = ["run_id", "image_id", "split"]
        table = pq.ParquetFile(self.root / "predictions.parquet", read_dictionary=names).read().unify_dictionaries()
        run_ids = table.column("run_id").combine_chunks()
        codes = run_ids.indices.to_numpy()
        if (np.diff(codes) < 0).any():
            order = np.argsort(codes, kind="stable")
            table, codes = table.take(pa.array(order)), codes[order]
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        rows = table.drop_columns("run_id").combine_chunks()
        return {
            run_ids.dictionary[int(codes[start])].as_py(): rows.slice(start, end - start)
            for start, end in zip(starts, [*starts[1:], len(codes)], strict=True)
        }

    @cached_property
    def _is_packed(self) -> bool:
        return (self.root / "records.jsonl").is_file()


def _classify(table: pa.Table) -> Classified:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    logits = [table.column(name).to_numpy() for name in table.column_names if name.startswith("logit_")]
    return Classified(
        image_ids=table.column("image_id").cast(pa.string()).combine_chunks(),
        is_test=pc.equal(table.column("split"), "test").to_numpy(),
        predicted=np.column_stack(logits).argmax(axis=1),
        labels=table.column("label").to_numpy().astype(np.int64),
    )


def _decoded(table: pa.Table) -> pa.Table:
    """Write names that are kept once as plain columns again."""
    for place, column in enumerate(table.schema):
        if hasattr(column.type, "value_type"):
            table = table.set_column(place, column.name, table.column(place).cast(column.type.value_type))
    return table


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
    return _read_json(path) if path.is_file() else None


def failed_runs(experiment: Path) -> dict[str, dict[str, Any]]:
    """Return the failures that stand, by run id."""
    notes = (_read_json(path) for path in sorted((experiment / "runs").glob("*/failure.json")))
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
    return _record(path.read_text(encoding="utf-8"), str(path))


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
    description = _read_json(path)
    if description.get("schema") != SCHEMA:
        raise UserError(f"{path} has format {description.get('schema')}; this version reads format {SCHEMA}")
    return description


def read_audit(experiment: Path) -> list[dict[str, Any]]:
    """Read what the batch-dependence audit found, nothing where there was none."""
    path = experiment / "audit.json"
    findings: list[dict[str, Any]] = _read_json(path)["findings"] if path.is_file() else []
    return findings


def existing_experiment(experiment: Path) -> dict[str, Any]:
    """Read `experiment.json`.

    Raises:
        UserError: there is none.
    """
    description = read_experiment(experiment)
    if description is None:
        raise UserError(f"no experiment at {experiment}; run `ferfuse reproduce` first, or give --experiment NAME")
    return description


def load_ledger(experiment: Path) -> Ledger:
    """Read all finished runs of an experiment, packed or not.

    Raises:
        UserError: no such experiment, nothing finished in it, or a damaged record.
    """
    description = existing_experiment(experiment)
    records = sorted(_records(experiment), key=lambda r: (r.kind, r.method or "", r.backbones, r.seed))
    if not records:
        raise UserError(f"experiment {experiment} holds no finished run yet; let `ferfuse reproduce` run")
    parts: dict[bool, list[Record]] = {True: [], False: []}
    for record in records:
        parts[is_present(record, description)].append(record)
    return Ledger(str(description["experiment"]), description, parts[True], experiment, parts[False])


def is_present(record: Record, description: dict[str, Any]) -> bool:
    """Tell whether a run is of what an experiment is about now: no dropped method, no earlier version of a plug-in."""
    plugins = description.get("plugins", {})
    names = map(base_name, filter(None, [record.method, *record.backbones]))
    current = all(record.sources.get(name) == plugins[name]["digest"] for name in names if name in plugins)
    return current and record.method not in description.get("dropped", [])


def storage_fault(error: OSError) -> str | None:
    """Say in one line what is wrong with the disk and what to do; None for an error of another kind."""
    if error.errno not in STORAGE_FAULTS:
        return None
    where = error.filename or "the results or data folder"
    return (
        f"{where} cannot be written ({os.strerror(error.errno)}); free space or rights, or choose other folders; "
        "finished runs are kept, the same command goes on from here"
    )


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to; the file takes its own name when all of it is there, and never else."""
    partial = path.with_name(path.name + ".tmp")
    try:
        yield partial
        commit_file(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def commit_file(partial: Path, path: Path) -> None:
    """Bring a completely written file to disk and then under its name, and the name to disk."""
    _sync(partial)
    partial.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON file whole or not at all; a number that JSON does not have becomes null."""
    write_text(path, json.dumps(as_json(value), indent=1, sort_keys=True) + "\n")


def _records(experiment: Path) -> Iterator[Record]:
    packed = experiment / "records.jsonl"
    if packed.is_file():
        lines = packed.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            yield _record(line, f"{packed}, line {number}")
        return
    for path in sorted((experiment / "runs").glob("*/record.json")):
        yield _record(path.read_text(encoding="utf-8"), str(path))


def _record(text: str, where: str) -> Record:
    try:
        return Record(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise UserError(f"{where} is damaged ({error}); delete that run's folder and run it again") from error


def _read_rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); delete the experiment or restore the file") from error
    return value


def as_json(value: Any) -> Any:
    """Return a value as JSON has it: a number that it does not have becomes null, a tuple a list."""
    if isinstance(value, dict):
        return {key: as_json(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [as_json(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
