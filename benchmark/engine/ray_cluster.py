"""The Ray engine: each run a task, on this machine or on the cluster at RAY_ADDRESS.

Where every node sees the experiment's folder, a task works in it as a local worker does. Elsewhere a node works in a
folder of its own: images, the files of a run's parents and what a run leaves travel through Ray's object store, and
this process writes them.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from benchmark.config import UserError
from benchmark.cores import usable_cores
from benchmark.engine.description import code_digest
from benchmark.engine.local import Setup
from benchmark.engine.outcomes import Busy, Failed, Halt, Lost, Outcome
from benchmark.engine.work import prepare_process, settled, work
from benchmark.ledger import Record, artifact_folder, is_finished, run_folder, whole_file, write_failure
from benchmark.ledger.claims import claim
from benchmark.plan import Run
from benchmark.plugins import LONGEST_REASON, carried_files
from benchmark.trained import BACKBONE_WEIGHTS, END_TO_END_WEIGHTS, FUSION_WEIGHTS
from benchmark.training.backbone import OUTPUTS, LostWeightsError, verify_weights
from benchmark.training.workspace import Workspace

try:
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise UserError("--engine ray needs Ray; install it with `pip install 'ferfuse[ray]'`") from error

TRIES = 3  # of a run whose worker or node dies
PARENTS_KEPT = 32  # stage-1 runs whose files stay in the object store
PROBE_SECONDS = 120.0
LEFT = (BACKBONE_WEIGHTS, OUTPUTS, FUSION_WEIGHTS, END_TO_END_WEIGHTS)  # of a run, for whoever asks it again

Files = dict[str, np.ndarray]


@dataclass(frozen=True)
class Job:
    """What every task of an experiment is told.

    Attributes:
        key: names the folder of nodes that do not see the experiment's.
        setup: its workspace is this process's; nodes without shared storage put their own paths in place.
        plugins: of every plug-in the files by where they lie to each other, its own first.
        code: digest of the code, which has to be the nodes' too.
        images: reference to the image array, None with shared storage.
    """

    key: str
    setup: Setup
    plugins: tuple[dict[str, bytes], ...]
    code: str
    images: Any = None


def connect(workers: int) -> None:
    """Join the cluster at RAY_ADDRESS, or start one on this machine, unless this process is in one already.

    Raises:
        UserError: nothing answers at RAY_ADDRESS.
    """
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = os.environ.get("RAY_ADDRESS")
    cores = workers or usable_cores()
    alone = {"address": "local", "num_cpus": cores, "include_dashboard": False}
    where: dict[str, Any] = {"address": address} if address else alone
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **where)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        raise UserError(f"no Ray cluster answers at RAY_ADDRESS={address} ({reason}); start one or unset it") from error


def cluster_device(device: str) -> str:
    """Turn "auto" into what the cluster has, and refuse what it has not; Ray itself chooses among several GPUs.

    Raises:
        UserError: a GPU is asked for, and no node has one.
    """
    usable = ray.cluster_resources().get("GPU", 0) > 0
    if device.startswith("cuda") and not usable:
        raise UserError(f"--device {device}: the Ray cluster has no GPU; use --device cpu or auto")
    return "cuda" if usable and device != "cpu" else "cpu"


class RayCluster:
    """Do runs as tasks; one whose worker or node dies is begun again elsewhere."""

    def __init__(self, setup: Setup, workers_per_gpu: int) -> None:
        workspace = setup.workspace
        self.experiment = workspace.experiment
        self.share = 1 / workers_per_gpu if workspace.device == "cuda" else 0
        self.flying: dict[Any, tuple[Run, ExitStack]] = {}
        self.at_hand: list[tuple[Run, Outcome]] = []
        self.files: OrderedDict[str, Any] = OrderedDict()
        absolute = replace(
            workspace, experiment=workspace.experiment.resolve(), images_file=workspace.images_file.resolve()
        )
        self.shared = _is_shared(absolute)
        job = Job(
            key=uuid.uuid4().hex,
            setup=replace(setup, workspace=absolute, plugins=()),
            plugins=tuple(
                {name: path.read_bytes() for name, path in carried_files(plugin).items()} for plugin in setup.plugins
            ),
            code=code_digest(()),
            images=None if self.shared else ray.put(np.load(workspace.images_file)),
        )
        self.key, self.job = job.key, ray.put(job)
        self.task: Any = ray.remote(_do_here if self.shared else _do_apart)

    @property
    def slots(self) -> int:
        """As many as the cluster holds by now, and one more, so that a growing one sees that there is more to do."""
        resources = ray.cluster_resources()
        return 1 + int(resources.get("GPU", 0) / self.share if self.share else resources.get("CPU", 1))

    def submit(self, run: Run) -> None:
        """Make a task of a run; the files of its parents are its arguments."""
        held = ExitStack()
        if not self.shared:
            outcome = self._claimed_or_settled(run, held)
            if outcome is not None:
                held.close()
                self.at_hand.append((run, outcome))
                return
        task = self.task.options(num_cpus=1, num_gpus=self.share, max_retries=TRIES, num_returns=2, name=run.label)
        result, files = task.remote(self.job, run, *(self.files.get(parent, {}) for parent in run.parents))
        if run.kind != "fusion":
            self._keep(run.run_id, files)
        self.flying[result] = (run, held)

    def wait(self, seconds: float | None) -> list[tuple[Run, Outcome]]:
        """Return runs that have ended, written to the ledger."""
        if self.at_hand:
            ended, self.at_hand = self.at_hand, []
            return ended
        ray.wait(list(self.flying), num_returns=1, timeout=seconds)
        ready, _ = ray.wait(list(self.flying), num_returns=len(self.flying), timeout=0)
        return [self._end(result) for result in ready]

    def _claimed_or_settled(self, run: Run, held: ExitStack) -> Outcome | None:
        """Hold a run in place of the node that does it, and have its parents' files at hand; else say how it ended."""
        if not held.enter_context(claim(self.experiment, run.run_id)):
            return Busy()
        if outcome := settled(run, self.experiment):
            return outcome
        try:
            for parent in run.parents:
                if parent not in self.files:
                    verify_weights(self.experiment, parent)
                    self._keep(parent, ray.put(_for_children(self.experiment, parent)))
        except LostWeightsError as error:
            return Lost(error.run_id, str(error))
        return None

    def _keep(self, run_id: str, files: Any) -> None:
        self.files[run_id] = files
        while len(self.files) > PARENTS_KEPT:
            self.files.popitem(last=False)

    def _end(self, result: Any) -> tuple[Run, Outcome]:
        run, held = self.flying.pop(result)
        with held:
            try:
                outcome, written = ray.get(result)
            except RayError as error:
                outcome, written = Failed(" ".join(str(error).split())[:LONGEST_REASON]), {}
                if self.shared:
                    write_failure(self.experiment, run.run_id, outcome.reason)
            if not self.shared:
                self._write(run, outcome, written)
            if not isinstance(outcome, Record):
                self.files.pop(run.run_id, None)
        return run, outcome

    def _write(self, run: Run, outcome: Outcome, written: Files) -> None:
        """Write what a run left on a node that does not see the experiment's folder; its record comes last.

        A run that is in the ledger was done for its weights; its record stays.
        """
        if isinstance(outcome, Failed):
            write_failure(self.experiment, run.run_id, outcome.reason)
        if not isinstance(outcome, Record):
            return
        known = is_finished(self.experiment, run.run_id)
        left = {name: content for name, content in written.items() if not (known and name.startswith("runs/"))}
        _write_files(self.experiment, left)
        (run_folder(self.experiment, run.run_id) / "failure.json").unlink(missing_ok=True)

    def stop(self) -> None:
        """Cancel what is under way, and have the nodes delete their folders."""
        for result, (_, held) in self.flying.items():
            ray.cancel(result, force=True)
            held.close()
        clear = ray.remote(_clear)
        cleared = [clear.options(**_at(node)).remote(self.key) for node in _nodes()]
        ray.wait(cleared, num_returns=len(cleared), timeout=PROBE_SECONDS)


def _do_here(job: Job, run: Run, *parents: Files) -> tuple[tuple[Outcome, Files], Files]:
    """Do a run in the experiment's own folder."""
    other = _other_code(job)
    return (other or work(run, _shared_workspace(_ById(job))), {}), {}


def _do_apart(job: Job, run: Run, *parents: Files) -> tuple[tuple[Outcome, Files], Files]:
    """Do a run in a folder of this node; return its record and files, and apart from them what other runs need."""
    if other := _other_code(job):
        return (other, {}), {}
    workspace = _own_workspace(_ById(job))
    for parent, files in zip(run.parents, parents, strict=True):
        with FileLock(_folder(job.key) / f"{parent}.lock"):
            if not artifact_folder(workspace.experiment, parent).is_dir():
                _write_files(workspace.experiment, files)
    outcome = work(run, workspace)
    if not isinstance(outcome, Record):
        return (outcome, {}), {}
    artifacts = dict(_artifacts(workspace.experiment, run.run_id))
    written = {**artifacts, **dict(_ledger_files(workspace.experiment, run.run_id))}
    return (outcome, written), _for_children(workspace.experiment, run.run_id) if run.kind != "fusion" else {}


def _other_code(job: Job) -> Halt | None:
    if code_digest(()) == job.code:
        return None
    return Halt("a node of the cluster has another version of ferfuse or torch; install the same on all")


class _ById:
    """A job as a key of a cache: two with one key are the same."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def __hash__(self) -> int:
        return hash(self.job.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and other.job.key == self.job.key


@lru_cache(maxsize=1)
def _shared_workspace(by_id: _ById) -> Workspace:
    _prepare(by_id.job)
    return by_id.job.setup.workspace


@lru_cache(maxsize=1)
def _own_workspace(by_id: _ById) -> Workspace:
    job = by_id.job
    _prepare(job)
    folder = _folder(job.key)
    images = folder / "images.npy"
    with FileLock(folder / "images.lock"):
        if not images.is_file():
            with whole_file(images) as partial, partial.open("wb") as file:
                np.save(file, ray.get(job.images))
    return replace(job.setup.workspace, experiment=folder / "experiment", images_file=images)


def _prepare(job: Job) -> None:
    """Make this worker process ready, with the user's methods from their sources."""
    folder = Path(tempfile.mkdtemp(dir=_folder(job.key)))
    plugins = []
    for place, files in enumerate(job.plugins):
        paths = [folder / str(place) / name for name in files]
        for path, content in zip(paths, files.values(), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        plugins.append(paths[0])
    prepare_process(job.setup.workspace.device, job.setup.deterministic, plugins)


def _folder(key: str) -> Path:
    folder = Path(tempfile.gettempdir()) / f"ferfuse-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _clear(key: str) -> None:
    shutil.rmtree(_folder(key), ignore_errors=True)


def _artifacts(experiment: Path, run_id: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what a run left for others: path below the experiment's folder, bytes."""
    folder = artifact_folder(experiment, run_id)
    for path in (folder / name for name in LEFT):
        if path.is_file():
            yield str(path.relative_to(experiment)), np.fromfile(path, dtype=np.uint8)


def _for_children(experiment: Path, run_id: str) -> Files:
    """Return what runs that start from this one read: its weights, its outputs and its record."""
    record = run_folder(experiment, run_id) / "record.json"
    return {
        **dict(_artifacts(experiment, run_id)),
        str(record.relative_to(experiment)): np.fromfile(record, dtype=np.uint8),
    }


def _ledger_files(experiment: Path, run_id: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield a run's files of the ledger, its record last."""
    folder = run_folder(experiment, run_id)
    for name in ("predictions.parquet", "history.csv", "record.json"):
        yield str((folder / name).relative_to(experiment)), np.fromfile(folder / name, dtype=np.uint8)


def _write_files(experiment: Path, files: Files) -> None:
    """Write files whole or not at all, in their order."""
    for name, content in files.items():
        path = experiment / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            partial.write_bytes(content.tobytes())


def _is_shared(workspace: Workspace) -> bool:
    """Tell whether every node sees the experiment's folder and the images; one that does not answer does not."""
    mark = workspace.experiment / "experiment.json"
    digest = hashlib.sha256(mark.read_bytes()).hexdigest()
    probe = ray.remote(_sees)
    answers = [probe.options(**_at(node)).remote(mark, digest, workspace.images_file) for node in _nodes()]
    try:
        return all(ray.get(answers, timeout=PROBE_SECONDS))
    except RayError:
        return False


def _sees(mark: Path, digest: str, images: Path) -> bool:
    return mark.is_file() and hashlib.sha256(mark.read_bytes()).hexdigest() == digest and images.is_file()


def _nodes() -> list[str]:
    return [node["NodeID"] for node in ray.nodes() if node["Alive"]]


def _at(node: str) -> dict[str, Any]:
    return {"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}
