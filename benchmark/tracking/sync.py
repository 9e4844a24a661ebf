"""Bring MLflow up to a ledger: what `ferfuse track` does, and the mirror that runs beside an experiment."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
import requests
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from benchmark.config import UserError
from benchmark.ledger import existing_experiment, load_ledger
from benchmark.tracking.model import log_model
from benchmark.tracking.store import Mirror, database_of, held_runs, only_writer, results_view
from benchmark.tracking.studies import write_studies
from benchmark.trained import best_run

FAULTS = (MlflowException, SQLAlchemyError, sqlite3.Error, requests.RequestException, OSError)
SECONDS_TO_MAKE = 30.0  # that MLflow may take to make a database
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class UnreachableError(RuntimeError):
    """MLflow did not take what was written; the message is its reason in one line."""


@dataclass(frozen=True)
class Counts:
    """What MLflow holds: runs of the ledger, how many the ledger has, and how many were written just now."""

    held: int
    runs: int
    written: int = 0


def count_runs(folder: Path) -> Counts:
    """Tell how much of a ledger MLflow holds.

    Raises:
        UserError: no such ledger, or MLflow cannot be reached.
    """
    ledger = load_ledger(folder)
    with _reachable():
        held = held_runs(ledger.experiment)
    return Counts(sum(record.run_id in held for record in ledger.records), len(ledger.records))


def synchronise(folder: Path, report: Path, plugins: Sequence[Path] = ()) -> Counts:
    """Write whatever MLflow lacks of a ledger, its report and its best model; a second time adds nothing.

    Raises:
        UserError: no such ledger, or MLflow cannot be reached.
    """
    with _reachable(), only_writer(folder):
        mirror = Mirror(existing_experiment(folder))
        written = write_new_runs(mirror, folder)
        write_ending(mirror, folder, report, plugins)
        mirror.close(finished=True)
    runs = len(load_ledger(folder).records)
    return Counts(runs, runs, written)


def write_new_runs(mirror: Mirror, folder: Path) -> int:
    """Write the runs that have been finished since; returns their number."""
    ledger = load_ledger(folder)
    missing = mirror.missing(ledger)
    for record in missing:
        mirror.write_record(ledger, record)
    return len(missing)


def write_ending(mirror: Mirror, folder: Path, report: Path, plugins: Sequence[Path]) -> None:
    """Write what comes after the runs: the report, the tuning studies, the best model where its weights are kept."""
    ledger = load_ledger(folder)
    write_studies(mirror, folder)
    mirror.mark_parts(ledger)
    mirror.write_summary(ledger, report)
    mirror.write_views()
    try:
        best = best_run(ledger)
    except UserError:  # a published ledger holds no weights
        mirror.write_report(report, None)
        return
    log_model(mirror, ledger, best, plugins)
    mirror.write_report(report, best)


def results_address(folder: Path) -> str | None:
    """Return where MLflow's pages show a ledger's results, None where it holds none of its runs; writes nothing.

    Raises:
        UserError: no such ledger, or MLflow cannot be reached.
    """
    description = existing_experiment(folder)
    with _reachable():
        return results_view(description)


@contextmanager
def writing() -> Iterator[None]:
    """Turn whatever a tracking store may fail with into one line; be brief with a server that does not answer."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            use_plain_address()
            remove_unfinished_database(str(mlflow.get_tracking_uri()))
            yield
    except FAULTS as error:
        lines = str(error).splitlines()
        reason = lines[0] if lines else type(error).__name__
        if "out-of-date database schema" in str(error):
            reason = f"its database is of an older version; run `mlflow db upgrade {mlflow.get_tracking_uri()}`"
        raise UnreachableError(reason) from error


def use_plain_address() -> None:
    """Name the database of the working folder as it is seen from there, whatever signs the folder's name holds.

    MLflow's own default is the same file by its absolute path, in which it quotes signs and then takes them literally.
    """
    if mlflow.is_tracking_uri_set():  # by the user
        return
    uri = str(mlflow.get_tracking_uri())
    if uri.startswith("sqlite:///") and database_of(uri) == Path("mlflow.db").resolve():
        mlflow.set_tracking_uri("sqlite:///mlflow.db")


def remove_unfinished_database(uri: str) -> None:
    """Remove an SQLite file whose making was interrupted: it has tables, and no version of its schema yet.

    Nothing was written to it, since MLflow notes the version before the first run.
    """
    path = database_of(uri)
    if not uri.startswith("sqlite:///") or not path.is_file() or time.time() - path.stat().st_mtime < SECONDS_TO_MAKE:
        return
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as opened:
        try:
            versions = opened.execute("SELECT count(*) FROM alembic_version").fetchone()[0]
        except sqlite3.DatabaseError:
            versions = 0
        try:
            runs = opened.execute("SELECT count(*) FROM runs").fetchone()[0]
        except sqlite3.DatabaseError:
            runs = 0
    if versions == runs == 0:
        path.unlink(missing_ok=True)


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        with writing():
            yield
    except UnreachableError as error:
        raise UserError(f"MLflow at {mlflow.get_tracking_uri()} does not take the runs: {error}") from error


def use_store(uri: str | None) -> str:
    """Set where MLflow keeps runs, if the user says so, and return where it does."""
    if uri:
        mlflow.set_tracking_uri(uri)
    return str(mlflow.get_tracking_uri())
