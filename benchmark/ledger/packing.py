"""Bring a ledger into its packed form, which is what is published: small, without paths of the machine it ran on."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmark.config import UserError
from benchmark.ledger.files import as_json, whole_file, write_json, write_text
from benchmark.ledger.format import Record
from benchmark.ledger.reading import Ledger

DATA_ROOT = "DATA_ROOT"
PLACES = ("--results-dir", "--reports-dir", "--data-dir")  # where files lie changes no number
NAME = r"[\w.@+~-]+"
PATH = re.compile(rf"(?<![\w./:)])(?:[A-Za-z]:[\\/]|~/|/{NAME}/)(?:{NAME}[\\/])*{NAME}[\\/]?|^/{NAME}/?$")
COMPRESSION_LEVEL = 19


def pack_ledger(ledger: Ledger, target: Path) -> None:
    """Write a ledger in its packed form into a folder: experiment, records, predictions, histories, audits."""
    target.mkdir(parents=True, exist_ok=True)
    _write_predictions(ledger, target / "predictions.parquet")
    lines = [json.dumps(as_json(asdict(record)), sort_keys=True) for record in _all(ledger)]
    write_text(target / "records.jsonl", "\n".join(lines) + "\n")
    if histories := _histories(ledger):
        write_text(target / "history.csv", histories)
    if ledger.audit:
        write_json(target / "audit.json", {"findings": ledger.audit})
    if ledger.repetitions:
        write_json(target / "repetitions.json", {"repetitions": ledger.repetitions})
    write_json(target / "experiment.json", ledger.experiment)


def _all(ledger: Ledger) -> list[Record]:
    """Return every finished run: an earlier version of a plug-in was tested too, whoever reads the ledger."""
    return [*ledger.records, *ledger.aside]


def publish(ledger: Ledger, results_dir: Path, name: str, title: str | None = None) -> Path:
    """Pack a ledger under another name, such as `reference/open-faces`, without paths of this machine.

    `title` is what readers shall call the data, where the folder that they lay in told no more than its layout.

    Returns:
        The folder: `results_dir/name`.

    Raises:
        UserError: the name is the ledger's own, so that it would be written over.
    """
    target = results_dir / name
    if target.resolve() == ledger.root.resolve():
        raise UserError(f"experiment '{name}' would be packed onto itself; give another --name")
    known = ledger.experiment
    settings = without_paths(known["settings"])
    if settings.get("data", {}).get("root"):
        settings["data"] = {**settings["data"], "root": DATA_ROOT}
    dataset = {**known["dataset"], "title": title} if title else known["dataset"]
    experiment = {
        **without_paths({key: value for key, value in known.items() if key != "command"}),
        "experiment": name,
        "dataset": dataset,
        "settings": settings,
        "command": public_command(str(known.get("command", ""))),
    }
    published = Ledger(name, experiment, _public(ledger.records), ledger.root, _public(ledger.aside))
    pack_ledger(published, target)
    return target


def _public(records: Sequence[Record]) -> list[Record]:
    return [
        replace(
            record,
            hyperparameters=without_paths(record.hyperparameters),
            environment=without_paths(record.environment),
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
    return option + separator + (re.split(r"[\\/]", value.rstrip("\\/"))[-1] if absolute else value)


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
    with whole_file(path) as partial:
        pq.write_table(
            pa.concat_tables(tables),
            partial,
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
