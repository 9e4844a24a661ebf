"""Bring a ledger into its packed form, which is what is published: small, without paths of the machine it ran on."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.config import UserError
from benchmark.ledger.files import digest_of, sealed, whole_file, write_json, write_text
from benchmark.ledger.format import Record, experiment_folder, history_digest, is_present, predictions_digest
from benchmark.ledger.reading import Ledger

if TYPE_CHECKING:
    import pyarrow as pa

DATA_ROOT = "DATA_ROOT"
PLACES = ("--results-dir", "--reports-dir", "--data-dir")  # where files lie changes no number
NAME = r"[\w.@+~-]+"
PATH = re.compile(rf"(?<![\w./:)])(?:[A-Za-z]:[\\/]|~/|/{NAME}/)(?:{NAME}[\\/])*{NAME}[\\/]?|^/{NAME}/?$")
COMPRESSION_LEVEL = 19


def pack_ledger(ledger: Ledger, target: Path) -> None:
    """Write a ledger in its packed form into a folder: experiment, records, predictions, histories, audits."""
    target.mkdir(parents=True, exist_ok=True)
    _write_predictions(ledger, target / "predictions.parquet")
    records = [sealed(asdict(_with_digests(ledger, record))) for record in _all(ledger)]
    write_text(target / "records.jsonl", "".join(json.dumps(record, sort_keys=True) + "\n" for record in records))
    if histories := _histories(ledger):
        write_text(target / "history.csv", histories)
    for name, findings in (("audit", ledger.audit), ("transfer", ledger.transfers)):
        if findings:
            write_json(target / f"{name}.json", {"findings": findings})
    if ledger.repetitions:
        write_json(target / "repetitions.json", {"repetitions": ledger.repetitions})
    whole = digest_of(
        [ledger.experiment["dataset"], ledger.experiment["main"], *(record["seal"] for record in records)]
    )
    write_json(target / "experiment.json", {**ledger.experiment, "digest": whole})


def _with_digests(ledger: Ledger, record: Record) -> Record:
    """Return a record with the digests of what it left, which records of earlier versions have not."""
    if record.digests:
        return record
    found = {"predictions": predictions_digest(ledger.prediction_table(record.run_id))}
    return replace(record, digests={**found, "history": history_digest(ledger.history(record.run_id))})


def merge_ledgers(ledgers: Sequence[Ledger], results_dir: Path, name: str) -> Path:
    """Join ledgers of one context (two machines, two sittings) into one packed ledger, which can be continued.

    Returns:
        The folder: `results_dir/name`.

    Raises:
        UserError: settings, data or plans differ, a run is in both with different results, or the name is taken.
    """
    first, target = ledgers[0], experiment_folder(results_dir, name)
    if (target / "experiment.json").is_file():
        raise UserError(f"experiment '{name}' is there already; give another --name")
    for other in ledgers[1:]:
        _refuse_other_context(first, other)
    parts: dict[str, tuple[Ledger, Record]] = {}
    for ledger in ledgers:
        for record in map(partial(_with_digests, ledger), _all(ledger)):
            known = parts.setdefault(record.run_id, (ledger, record))[1]
            if known.digests["predictions"] != record.digests["predictions"]:
                raise UserError(
                    f"run {record.run_id} is in '{first.name}' and in '{ledger.name}' with other predictions"
                )
    pack_ledger(_Merged.of(ledgers, parts, name), target)
    return target


def _refuse_other_context(first: Ledger, other: Ledger) -> None:
    for what, a, b in (
        ("data", first.experiment["dataset"]["digest"], other.experiment["dataset"]["digest"]),
        ("settings", first.experiment.get("context"), other.experiment.get("context")),
        ("statistics", _planned(first), _planned(other)),
    ):
        if a != b:
            raise UserError(f"'{first.name}' and '{other.name}' have different {what}; merge ledgers of one experiment")


def _planned(ledger: Ledger) -> Any:
    return ledger.experiment["settings"].get("statistics")


class _Merged(Ledger):
    """Ledgers read as one: each run from the ledger that it came from."""

    sources: dict[str, Ledger]

    @classmethod
    def of(cls, ledgers: Sequence[Ledger], parts: dict[str, tuple[Ledger, Record]], name: str) -> _Merged:
        """Return the union of ledgers under a name."""
        first = ledgers[0].experiment
        settings = dict(first["settings"])
        for key in ("backbones", "methods", "with_arms"):
            settings[key] = _union([one.experiment["settings"].get(key, []) for one in ledgers])
        settings["seeds"] = max(one.experiment["settings"]["seeds"] for one in ledgers)
        experiment = {
            **first,
            "experiment": name,
            "settings": settings,
            "main": {key: _union([one.experiment["main"][key] for one in ledgers]) for key in first["main"]},
            "plugins": {key: one for ledger in ledgers for key, one in ledger.experiment.get("plugins", {}).items()},
        }
        if all("plan" in one.experiment for one in ledgers):
            experiment["plan"] = {"key": "", "runs": _union([one.experiment["plan"]["runs"] for one in ledgers])}
        records = [record for _, record in parts.values()]
        present = [record for record in records if is_present(record, experiment)]
        aside = [record for record in records if not is_present(record, experiment)]
        order = sorted(present, key=lambda record: (record.kind, record.method or "", record.backbones, record.seed))
        merged = cls(name, experiment, order, ledgers[0].root, aside)
        object.__setattr__(merged, "sources", {run_id: ledger for run_id, (ledger, _) in parts.items()})
        merged.__dict__["audit"] = [finding for ledger in ledgers for finding in ledger.audit]
        merged.__dict__["transfers"] = [finding for ledger in ledgers for finding in ledger.transfers]
        merged.__dict__["repetitions"] = [row for ledger in ledgers for row in ledger.repetitions]
        return merged

    def prediction_table(self, run_id: str) -> pa.Table:
        """Read a run's predictions where they are."""
        return self.sources[run_id].prediction_table(run_id)

    def history(self, run_id: str) -> list[dict[str, str]]:
        """Read a run's epochs where they are."""
        return self.sources[run_id].history(run_id)


def _union(lists: Sequence[Sequence[Any]]) -> list[Any]:
    found: list[Any] = []
    for items in lists:
        found += [item for item in items if item not in found]
    return found


def _all(ledger: Ledger) -> list[Record]:
    """Return every finished run: an earlier version of a plug-in was tested too, whoever reads the ledger."""
    return [*ledger.records, *ledger.aside]


def publish(
    ledger: Ledger,
    results_dir: Path,
    name: str,
    title: str | None = None,
    *,
    unnamed: bool = False,
    test_only: bool = False,
) -> Path:
    """Pack a ledger under another name, such as `reference/open-faces`, without paths of this machine.

    `title` is what readers shall call the data, where the folder that they lay in told no more than its layout.
    With `unnamed` nobody without the data can tell which image has which label. With `test_only` the fusion runs keep
    no predictions of validation images, which no table reads: their records and histories say how good they were there.

    Returns:
        The folder: `results_dir/name`.

    Raises:
        UserError: the name is the ledger's own, so that it would be written over.
    """
    target = experiment_folder(results_dir, name)
    if target.resolve() == ledger.root.resolve():
        raise UserError(f"experiment '{name}' would be packed onto itself; give another --name")
    known = ledger.experiment
    settings = without_paths(known["settings"])
    if settings.get("data", {}).get("root"):
        settings["data"] = {**settings["data"], "root": DATA_ROOT}
    dataset = {**known["dataset"], **({"title": title} if title else {}), **({"unnamed": True} if unnamed else {})}
    experiment = {
        **without_paths({key: value for key, value in known.items() if key != "command"}),
        "experiment": name,
        "dataset": dataset,
        "settings": settings,
        "command": public_command(str(known.get("command", ""))),
    }
    kind = {(False, False): Ledger, (True, False): _Unnamed, (False, True): _TestOnly, (True, True): _UnnamedTestOnly}
    changed = [record.run_id for record in _all(ledger) if unnamed or (test_only and record.kind == "fusion")]
    rows = (_public(records, changed) for records in (ledger.records, ledger.aside))
    published = kind[unnamed, test_only](name, experiment, next(rows), ledger.root, next(rows))
    pack_ledger(published, target)
    return target


class _Unnamed(Ledger):
    """A ledger whose images have codes for names, and stand in the order of these.

    A code is the SHA-256 of a key and the name. The key is the digest of the names and labels of a run's images, so
    that it takes the data to find out which image a code is, and the same data always give the same codes.
    """

    def prediction_table(self, run_id: str) -> pa.Table:
        """Read a run's predictions and replace the images' names."""
        import pyarrow as pa

        table = super().prediction_table(run_id)
        names = table.column("image_id").cast(pa.string()).to_pylist()
        codes = [hashlib.sha256(f"{self._key} {name}".encode()).hexdigest()[:16] for name in names]
        return table.set_column(table.column_names.index("image_id"), "image_id", pa.array(codes)).sort_by("image_id")

    @cached_property
    def _key(self) -> str:
        table = super().prediction_table(_all(self)[0].run_id)
        names, labels = (table.column(name).to_pylist() for name in ("image_id", "label"))
        return digest_of(sorted(f"{name} {label}" for name, label in zip(names, labels, strict=True)))


class _TestOnly(Ledger):
    """A ledger whose fusion runs have predictions of test images alone."""

    def prediction_table(self, run_id: str) -> pa.Table:
        """Read a run's predictions, without those of validation images where it is a fusion run."""
        import pyarrow.compute as pc

        table = super().prediction_table(run_id)
        return (
            table if run_id in self._networks else table.filter(pc.equal(table.column("split").cast("string"), "test"))
        )

    @cached_property
    def _networks(self) -> set[str]:
        return {record.run_id for record in _all(self) if record.kind != "fusion"}


class _UnnamedTestOnly(_Unnamed, _TestOnly):
    """Both."""


def _public(records: Sequence[Record], changed: Sequence[str]) -> list[Record]:
    """Return records without paths, and without the digests of predictions that are not published as they were left."""
    return [
        replace(
            record,
            hyperparameters=without_paths(record.hyperparameters),
            environment=without_paths(record.environment),
            digests={} if record.run_id in changed else record.digests,
        )
        for record in records
    ]


def public_command(command: str) -> str:
    """Return a command as anybody can type it: `DATA_ROOT` for the data, no folders of one machine.

    `ferfuse reproduce --data-root /home/me/basic --results-dir /scratch` becomes
    `ferfuse reproduce --data-root DATA_ROOT`; the path of any other file is cut to its name.
    """
    kept: list[str] = []
    words = iter(shlex.split(command))
    for word in words:
        option, separator, _ = word.partition("=")
        if option in PLACES:
            if not separator:
                next(words, None)
        elif option == "--data-root":
            kept += [option, DATA_ROOT]
            if not separator:
                next(words, None)
        elif option == "data.root" and separator:
            kept.append(f"{option}={DATA_ROOT}")
        else:
            kept.append(_file_name(word))
    return shlex.join(kept)


def _file_name(word: str) -> str:
    """Return a word of a command, an absolute path cut to its last name; blanks may be part of it."""
    option, separator, value = word.rpartition("=")
    absolute = value.startswith(("/", "~")) or value[1:3] in (":\\", ":/")
    return option + separator + (re.split(r"[\\/]", value.rstrip("\\/"))[-1] if absolute else without_paths(value))


def without_paths(value: Any) -> Any:
    """Return a value with every absolute path in its texts cut to the last name; all else stays."""
    if isinstance(value, dict):
        return {key: without_paths(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(inner) for inner in value]
    if isinstance(value, str):
        return PATH.sub(lambda found: re.split(r"[\\/]", found[0].rstrip("\\/"))[-1], value)
    return value


def _write_predictions(ledger: Ledger, path: Path) -> None:
    """Write all runs' predictions as one table; scores are stored byte by byte, which makes them a sixth smaller."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for record in _all(ledger):
        table = ledger.prediction_table(record.run_id).replace_schema_metadata(None)
        scores = [name for name in table.column_names if name.startswith("logit_")]
        columns = {name: table.column(name).cast(pa.string()) for name in ("image_id", "split")}
        columns["label"] = table.column("label")
        columns |= {name: table.column(name).cast(pa.float32()) for name in scores}
        tables.append(pa.table({**columns, "run_id": pa.array([record.run_id] * len(table))}))
    with whole_file(path) as unfinished:
        pq.write_table(
            pa.concat_tables(tables),
            unfinished,
            compression="zstd",
            compression_level=COMPRESSION_LEVEL,
            use_dictionary=["image_id", "split", "label", "run_id"],
            use_byte_stream_split=scores,
        )


def _histories(ledger: Ledger) -> str:
    """Return the epochs of all runs as CSV with a column `run_id`, nothing where none are kept."""
    rows = [{"run_id": record.run_id, **row} for record in _all(ledger) for row in ledger.history(record.run_id)]
    if not rows:
        return ""
    names: Sequence[str] = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
