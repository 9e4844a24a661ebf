"""The writing side of the mirror: what the ledger holds and MLflow does not, once and whole."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse
from urllib.request import url2pathname

import mlflow
from filelock import FileLock, Timeout
from mlflow.entities import Experiment, Metric, Run, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from benchmark.config import UserError
from benchmark.ledger import Ledger, Record, run_folder
from benchmark.ledger.files import read_json
from benchmark.tracking import content
from benchmark.tracking.content import EXPERIMENT, KIND, NOTE, PARENT, RUN_ID
from benchmark.tracking.pictures import confusion_picture, curve_picture
from benchmark.tracking.views import address_of, view_links, view_tags

EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # the page for trained models, not for agents
REPORT = "ferfuse.report"
KIND_ORDER = {"backbone": 0, "fold": 1, "fusion": 2}


class Mirror:
    """The runs of one ledger in MLflow, found again by their tags `ferfuse.experiment` and `ferfuse.run_id`.

    Where it writes is MLflow's own choice: `MLFLOW_TRACKING_URI`, or else `mlflow.db` in the working folder, where
    plain `mlflow ui` looks. A run that was begun and not ended is written anew.
    """

    def __init__(self, description: dict[str, Any]) -> None:
        self.description = description
        self.client = MlflowClient()
        name = content.experiment_name(description)
        found = self.client.get_experiment_by_name(name)
        if found and found.lifecycle_stage == "deleted":  # by the user, in MLflow's own page
            self.client.restore_experiment(found.experiment_id)
        self.experiment_id = self._use(found) if found else self._begin(name)
        runs = list(runs_of(self.client, self.experiment_id, description))
        self.known = {run.data.tags[RUN_ID]: run for run in runs if is_whole(run)}
        for run in runs:
            if not is_whole(run):
                self.client.delete_run(run.info.run_id)
        self.parent = self._open_parent()
        self.write_views()

    def _begin(self, name: str) -> str:
        """Create the experiment; its files lie beside the database where that is a file, whatever the folder's name."""
        uri = str(mlflow.get_tracking_uri())
        files = None
        if uri.startswith("sqlite:///"):
            folder = database_of(uri).parent
            files = (folder / "mlruns" / hashlib.sha256(name.encode()).hexdigest()[:16]).as_uri()
        return str(self.client.create_experiment(name, artifact_location=files, tags=EXPERIMENT_TAGS))

    def _use(self, found: Experiment) -> str:
        """Return the id of an experiment that is there; one whose files lie where the project once was is not used.

        Raises:
            MlflowException: the project was moved since.
        """
        files, uri = str(found.artifact_location), str(mlflow.get_tracking_uri())
        if files.startswith("file://") and uri.startswith("sqlite:///"):
            place = Path(url2pathname(urlparse(files).path))
            folder = database_of(uri).parent
            if place.parent.name == "mlruns" and place.parent.parent != folder:
                raise MlflowException(
                    f"mlflow.db keeps its files in {place.parent.parent}, where this project was before; delete "
                    "mlflow.db (the ledger has everything), and `ferfuse track --sync --experiment NAME` writes it anew"
                )
        return str(found.experiment_id)

    def missing(self, ledger: Ledger) -> list[Record]:
        """Return the records that MLflow does not hold, those that others start from first."""
        records = [record for record in ledger.records if record.run_id not in self.known]
        return sorted(records, key=lambda record: KIND_ORDER[record.kind])

    def write_record(self, ledger: Ledger, record: Record) -> None:
        """Write one run of the ledger as a child run with everything that belongs to it."""
        end = _ended_at(ledger, record)
        history = content.read_history(ledger, record.run_id)
        tags = content.record_tags(ledger, record, self._links(ledger, record))
        run = self.create_child(content.run_name(record), tags, end - int(1000 * record.seconds))
        self.client.log_inputs(run.info.run_id, content.datasets(self.description))
        self.client.log_batch(
            run.info.run_id,
            metrics=content.record_metrics(record, history, self.description, end),
            params=content.record_params(record),
        )
        with tempfile.TemporaryDirectory() as folder:
            self._log_files(ledger, record, history, Path(folder))
            self.client.log_artifacts(run.info.run_id, folder)
        self.end_child(record.run_id, run, end)

    def mark_parts(self, ledger: Ledger) -> None:
        """Tag the runs whose part of the experiment has changed: set aside by an edit or a drop, or back again."""
        for record in [*ledger.records, *ledger.aside]:
            run = self.known.get(record.run_id)
            part = content.part_of(ledger, record)
            if run is not None and run.data.tags.get(content.PART, part) != part:
                self.client.set_tag(run.info.run_id, content.PART, part)

    def create_child(self, name: str, tags: dict[str, str], start: int, parent: str | None = None) -> Run:
        """Begin a run below the experiment's own, or below `parent`; `start` in milliseconds."""
        tags = {**content.shared_tags(self.description), **tags, PARENT: parent or self.parent}
        return self.client.create_run(self.experiment_id, start_time=start, run_name=name, tags=tags)

    def end_child(self, key: str, run: Run, end: int) -> None:
        """Mark a run as whole; only then is it known."""
        self.client.set_terminated(run.info.run_id, "FINISHED", end)
        self.known[key] = run

    def write_report(self, folder: Path, best: Record | None) -> None:
        """Put the report's answer and tables into the parent's description, and all its files beside it.

        Args:
            best: the run whose trained model is logged, if there is one.
        """
        if not folder.is_dir():
            return
        held, digest = self.client.get_run(self.parent).data.tags, _digest(folder)
        if held.get(REPORT) != digest:
            self.client.log_artifacts(self.parent, str(folder), "report")
        links = [self._views()]
        if best is not None:
            address = self.address(self.known[best.run_id].info.run_id)
            links.insert(0, f"Best on validation, with its trained model: [{content.run_name(best)}]({address})")
        wanted = {NOTE: _note(self.description, folder, links), REPORT: digest}
        changed = {name: value for name, value in wanted.items() if held.get(name) != value}
        self.client.log_batch(self.parent, tags=content.as_tags(changed))

    def write_summary(self, ledger: Ledger, report: Path) -> None:
        """Give the parent run mean and deviation of each method, and the differences that the report holds."""
        path = report / "significance.json"
        comparisons = read_json(path).get("comparisons", []) if path.is_file() else []
        held, now = self.client.get_run(self.parent).data.metrics, int(1000 * time.time())
        wanted = content.summary_metrics(ledger, comparisons)
        changed = [Metric(name, value, now, 0) for name, value in wanted.items() if held.get(name) != value]
        self.client.log_batch(self.parent, metrics=changed)

    def write_views(self) -> None:
        """Give the run page its views of this ledger, and the experiment's page links to those of every ledger."""
        parent, held = self.client.get_run(self.parent), self.client.get_experiment(self.experiment_id).tags
        tuned = any(run.data.tags[KIND] == "study" for run in self.known.values())
        wanted = view_tags(self.description, parent.info.start_time, tuned=tuned)
        wanted[NOTE] = self._contents([*held, *wanted])
        for name, value in wanted.items():
            if held.get(name) != value:
                self.client.set_experiment_tag(self.experiment_id, name, value)
        if NOTE not in parent.data.tags:
            self.client.set_tag(self.parent, NOTE, _note(self.description, None, [self._views()]))

    def close(self, *, finished: bool) -> None:
        """Mark the parent run as ended."""
        self.client.set_terminated(self.parent, "FINISHED" if finished else "KILLED")

    def address(self, run_id: str) -> str:
        """Return a run's address within MLflow's pages."""
        return f"#/experiments/{self.experiment_id}/runs/{run_id}"

    def _views(self) -> str:
        """Return links to the views of this ledger: MLflow's own list shows parent runs, and no metric."""
        held = self.client.get_experiment(self.experiment_id).tags
        return f"Views: {view_links(self.experiment_id, held, self.description['experiment'])}"

    def _contents(self, tags: list[str]) -> str:
        """Return a line for every ledger that the MLflow experiment holds."""
        parents = self.client.search_runs(
            [self.experiment_id], f"tags.`{KIND}` = 'experiment'", order_by=["attributes.start_time ASC"]
        )
        return "\n\n".join(
            f"**[{run.info.run_name}]({self.address(run.info.run_id)})**: "
            + view_links(self.experiment_id, tags, run.data.tags[EXPERIMENT])
            for run in parents
        )

    def _open_parent(self) -> str:
        tags = content.parent_tags(self.description)
        found = self.known.get("parent")
        if found is None:
            run = self.client.create_run(
                self.experiment_id,
                run_name=self.description["experiment"],
                tags={**tags, RUN_ID: "parent"},
            )
            self.client.log_inputs(run.info.run_id, content.datasets(self.description))
            self.client.log_batch(run.info.run_id, params=content.parent_params(self.description))
            return str(run.info.run_id)
        changed = {name: value for name, value in tags.items() if found.data.tags.get(name) != value}
        self.client.log_batch(found.info.run_id, tags=content.as_tags(changed))
        self.client.update_run(found.info.run_id, status=RunStatus.to_string(RunStatus.RUNNING))
        return str(found.info.run_id)

    def _links(self, ledger: Ledger, record: Record) -> dict[str, str]:
        """Return the runs that a record starts from, as far as MLflow holds them."""
        names = {other.run_id: content.run_name(other) for other in ledger.records}
        return {
            names[run_id]: self.address(self.known[run_id].info.run_id)
            for run_id in record.parents
            if run_id in self.known and run_id in names
        }

    def _log_files(self, ledger: Ledger, record: Record, history: list[dict[str, float]], folder: Path) -> None:
        title = content.run_name(record)
        confusion_picture(ledger, record, title).save(folder / "confusion_matrix.png", compress_level=1)
        if len(history) > 1:
            curve_picture(history, record.selected_epoch, title).save(folder / "learning_curve.png", compress_level=1)
        (folder / "record.json").write_text(content.record_json(record), encoding="utf-8")
        ledger.predictions(record.run_id).to_csv(folder / "predictions.csv", index=False, float_format="%.6g")


def held_runs(description: dict[str, Any]) -> set[str]:
    """Return the ids of all runs of an experiment that MLflow holds; writes nothing."""
    client = MlflowClient()
    found = client.get_experiment_by_name(content.experiment_name(description))
    if found is None:
        return set()
    return {run.data.tags[RUN_ID] for run in runs_of(client, found.experiment_id, description) if is_whole(run)}


def results_view(description: dict[str, Any]) -> str | None:
    """Return the address of the view of methods by pair within MLflow's pages, None where it holds no such run."""
    found = MlflowClient().get_experiment_by_name(content.experiment_name(description))
    if found is None or not held_runs(description):
        return None
    return address_of(found.experiment_id, description["experiment"], "table-2")


def runs_of(client: MlflowClient, experiment_id: str, description: dict[str, Any]) -> Iterator[Run]:
    """Yield every run of a ledger's experiment, whole or not."""
    wanted = f"tags.`{EXPERIMENT}` = '{description['experiment']}'"
    token = None
    while True:
        page = client.search_runs([experiment_id], wanted, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def is_whole(run: Run) -> bool:
    """Tell whether a run was written to its end; a parent run is open while its experiment goes on."""
    return run.data.tags.get(KIND) == "experiment" or run.info.status == "FINISHED"


def database_of(uri: str) -> Path:
    """Return the file of an SQLite tracking URI, in which MLflow quotes blanks and other signs."""
    return Path(unquote(uri.removeprefix("sqlite:///").partition("?")[0])).resolve()


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Let one process at a time mirror a ledger, since two would write its runs twice.

    Raises:
        UserError: another one is at it.
    """
    key = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    lock = FileLock(Path(tempfile.gettempdir()) / f"ferfuse-mirror-{key}.lock")
    try:
        with lock.acquire(timeout=0):
            yield
    except Timeout as error:
        raise UserError(f"{folder} is being mirrored by another process; wait until it has ended") from error


def _ended_at(ledger: Ledger, record: Record) -> int:
    """Return when a run ended, in milliseconds; a packed ledger tells only when its experiment began."""
    path = run_folder(ledger.root, record.run_id) / "record.json"
    path = path if path.is_file() else ledger.root / "experiment.json"
    return int(1000 * path.stat().st_mtime)


def _digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def _note(description: dict[str, Any], report: Path | None, links: list[str]) -> str:
    """Return the parent's description in Markdown: what it is, the answer, Tables 1 and 2 as far as they fit."""
    data = description["dataset"]
    warning = " The faces are drawn: these numbers say nothing about real ones." if data["synthetic"] else ""
    parts = []
    values = report / "significance.json" if report else None
    if values and values.is_file():
        parts.append(f"**{read_json(values)['answer']}**")
    parts += [f"Experiment **{description['experiment']}** on {data['title']}.{warning}", *links]
    parts.append(f"`{description['command']}`")
    for table in (report / "table1.md", report / "table2.md") if report else ():
        text = table.read_text(encoding="utf-8").strip() if table.is_file() else ""
        fits = len("\n\n".join([*parts, text]).encode()) <= content.LONGEST_NOTE
        parts.append(
            text if fits else f"{table.name} is too long for this page: see `report/{table.name}` among the artifacts."
        )
    return "\n\n".join(part for part in parts if part)
