"""MLflow mirrors the ledger: a parent run for an experiment, a child for each run. Nothing else imports mlflow."""

from __future__ import annotations

import csv
import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from benchmark.ledger import METRICS, SELECTIONS, Record, existing_experiment, run_folder

PREFIX = "ferfuse"
FAULTS = (MlflowException, OSError, ConnectionError)
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # the page for trained models, not for agents
LONGEST_VALUE = 500  # characters that MLflow keeps of a parameter in every store


class Tracker:
    """Write records into MLflow as they come; a tracking store that fails is said once and costs no run.

    Where it writes is MLflow's own choice: `MLFLOW_TRACKING_URI`, or else `mlflow.db` in the working folder, where
    plain `mlflow ui` looks.
    """

    def __init__(self, experiment: Path, warn: Callable[[str], None]) -> None:
        self.folder, self.warn = experiment, warn
        self.client: MlflowClient | None = None
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        self._attempt(self._open)

    def log(self, record: Record) -> None:
        """Write one record as a child run, unless it is there."""
        if self.client is not None and record.run_id not in self.known:
            self._attempt(lambda: self._log(record))

    def close(self, *, finished: bool) -> None:
        """Mark the parent run as ended."""
        if self.client is not None:
            client, status = self.client, "FINISHED" if finished else "KILLED"
            self._attempt(lambda: client.set_terminated(self.parent, status))

    def _open(self) -> None:
        """Find or make the experiment and its parent run, and see which runs are there."""
        self.description = existing_experiment(self.folder)
        client = MlflowClient()
        name = f"{PREFIX}/{self.description['experiment']}"
        found = client.get_experiment_by_name(name)
        self.experiment_id = found.experiment_id if found else client.create_experiment(name, tags=EXPERIMENT_TAGS)
        self.known = {
            run.data.tags.get(f"{PREFIX}.run_id"): run.info.run_id for run in _all_runs(client, self.experiment_id)
        }
        parent = self.known.get("parent") or self._create_parent(client)
        client.update_run(parent, status="RUNNING")
        self.parent, self.client = parent, client

    def _create_parent(self, client: MlflowClient) -> str:
        data, settings = self.description["dataset"], self.description["settings"]
        run = client.create_run(
            self.experiment_id,
            run_name=self.description["experiment"],
            tags={
                f"{PREFIX}.run_id": "parent",
                f"{PREFIX}.dataset": data["title"],
                f"{PREFIX}.synthetic": str(data["synthetic"]).lower(),
                f"{PREFIX}.dataset_digest": data["digest"],
                f"{PREFIX}.command": self.description["command"],
                "mlflow.note.content": _note(self.description),
            },
        )
        params = [Param(name, str(value)[:LONGEST_VALUE]) for name, value in _flat(settings)]
        client.log_batch(run.info.run_id, params=params)
        return str(run.info.run_id)

    def _log(self, record: Record) -> None:
        assert self.client is not None
        tags = {
            f"{PREFIX}.run_id": record.run_id,
            f"{PREFIX}.kind": record.kind,
            f"{PREFIX}.synthetic": str(self.description["dataset"]["synthetic"]).lower(),
            "mlflow.parentRunId": self.parent,
            "device": record.device,
        }
        run = self.client.create_run(self.experiment_id, run_name=run_name(record), tags=tags)
        now = int(run.info.start_time)
        metrics = [
            Metric(f"test_{metric}_{rule}", record.metrics[rule][metric], now, 0)
            for rule in SELECTIONS
            for metric in METRICS
        ]
        metrics += [
            Metric("test_accuracy", record.metrics["validation_selected"]["accuracy"], now, 0),
            Metric("seconds", record.seconds, now, 0),
            Metric("parameters", record.parameters, now, 0),
            Metric("macs", record.macs, now, 0),
        ]
        metrics += _history(run_folder(self.folder, record.run_id) / "history.csv", now)
        settings: list[tuple[str, Any]] = [
            ("method", record.method or "none"),
            ("backbones", "+".join(record.backbones)),
            ("seed", record.seed),
            ("selected_epoch", record.selected_epoch),
            *_flat(record.hyperparameters),
        ]
        params = {name: str(value)[:LONGEST_VALUE] for name, value in settings}
        self.client.log_batch(
            run.info.run_id,
            metrics=metrics,
            params=[Param(name, value) for name, value in params.items()],
            tags=[RunTag("parents", " ".join(record.parents))] if record.parents else [],
        )
        self.client.set_terminated(run.info.run_id)
        self.known[record.run_id] = run.info.run_id

    def _attempt(self, write: Callable[[], None]) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                write()
        except FAULTS as error:
            self.client = None
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            self.warn(f"MLflow is not reachable ({reason}); runs go on, the ledger keeps everything")


def run_name(record: Record) -> str:
    """Return the name of a record's run for people."""
    method = f"{record.method} · " if record.method else ""
    return f"{method}{'+'.join(record.backbones)} · seed {record.seed}"


def _history(path: Path, now: int) -> list[Metric]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        Metric(name, float(value), now, int(row["epoch"]))
        for row in rows
        for name, value in row.items()
        if name != "epoch"
    ]


def _all_runs(client: MlflowClient, experiment_id: str) -> Sequence[Any]:
    runs: list[Any] = []
    token = None
    while True:
        page = client.search_runs([experiment_id], max_results=1000, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def _flat(settings: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in settings.items():
        rows += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return rows


def _note(description: dict[str, Any]) -> str:
    data = description["dataset"]
    warning = " The faces are drawn: these numbers say nothing about real ones." if data["synthetic"] else ""
    return f"Experiment **{description['experiment']}** on {data['title']}.{warning}\n\n`{description['command']}`"
