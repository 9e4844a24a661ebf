"""The Slurm engine: each run a job, by submitit, in the experiment's own folder, which every node has to see."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections import Counter
from dataclasses import replace
from typing import Any

from benchmark.config import UserError
from benchmark.engine.local import Setup
from benchmark.engine.outcomes import Failed, Outcome
from benchmark.engine.work import prepare_process, work_together
from benchmark.ledger import write_failure
from benchmark.plan import Run
from benchmark.plugins import LONGEST_REASON

try:
    import submitit
except ImportError as error:
    raise UserError("--engine slurm needs submitit; install it with `pip install 'ferfuse[slurm]'`") from error

CLUSTER = "slurm"
OPTIONS = "FERFUSE_SLURM"  # as in "slurm_partition=gpu timeout_min=240 mem_gb=16", by submitit's names
JOBS = 32  # at a time, where --workers does not say
TRIES = 2  # of a run whose job dies
POLL = 0.5  # seconds


class SlurmJobs:
    """Do runs as jobs; one that dies is submitted once more, then its run fails."""

    def __init__(self, setup: Setup, workers: int) -> None:
        space = setup.workspace
        self.slots = workers or JOBS
        self.experiment = space.experiment.resolve()
        space = replace(space, experiment=self.experiment, images_file=space.images_file.resolve())
        self.setup = replace(setup, workspace=space, plugins=tuple(path.resolve() for path in setup.plugins))
        self.executor = _executor(self.setup)
        self.flying: list[tuple[Run, Any]] = []
        self.died: Counter[str] = Counter()

    def submit(self, run: Run) -> None:
        """Make a job of a run."""
        self.flying.append((run, self.executor.submit(_do, self.setup, run)))

    def wait(self, seconds: float | None) -> list[tuple[Run, Outcome]]:
        """Return runs whose jobs have ended; what a dead one left undone is submitted again, or fails."""
        deadline = time.monotonic() + (seconds or 0)
        while not (done := [(run, job) for run, job in self.flying if job.done()]):
            if seconds is not None and time.monotonic() > deadline:
                return []
            time.sleep(POLL)
        self.flying = [pair for pair in self.flying if pair not in done]
        ended = [(run, self._outcome(run, job)) for run, job in done]
        return [(run, outcome) for run, outcome in ended if outcome is not None]

    def _outcome(self, run: Run, job: Any) -> Outcome | None:
        try:
            outcome: Outcome = job.result()
        except Exception as error:  # whatever ended it: its time limit, its memory, its node
            self.died[run.run_id] += 1
            if self.died[run.run_id] < TRIES:
                self.submit(run)
                return None
            reason = " ".join(str(error).split())[:LONGEST_REASON]
            write_failure(self.experiment, run.run_id, f"its job ended {TRIES} times: {reason}")
            return Failed(f"its job ended {TRIES} times: {reason}")
        return outcome

    def stop(self) -> None:
        """Cancel what is under way; a run keeps its last checkpoint."""
        for _, job in self.flying:
            job.cancel()


def _executor(setup: Setup) -> Any:
    """Return what submits jobs, by the options in FERFUSE_SLURM.

    Raises:
        UserError: there is no Slurm here, or an option that submitit does not know.
    """
    if CLUSTER == "slurm" and shutil.which("sbatch") is None:
        raise UserError("--engine slurm: there is no sbatch on this machine; start it where jobs are submitted from")
    executor = submitit.AutoExecutor(setup.workspace.experiment / "slurm", cluster=CLUSTER)
    gpus = {"gpus_per_node": 1} if setup.workspace.device.startswith("cuda") else {}
    given = dict(word.partition("=")[::2] for word in shlex.split(os.environ.get(OPTIONS, "")))
    asked = {name: int(value) if value.isdecimal() else value for name, value in given.items()}
    try:
        executor.update_parameters(**{"name": "ferfuse", "timeout_min": 240, "cpus_per_task": 1, **gpus, **asked})
    except (NameError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        raise UserError(f"{OPTIONS}='{os.environ.get(OPTIONS, '')}': {reason}") from error
    return executor


def _do(setup: Setup, run: Run) -> Outcome:
    """Do a run in a job, and on a GPU the runs that can be trained as one with it."""
    prepare_process(setup.workspace.device, setup.deterministic, setup.plugins)
    return work_together(run, setup.to_do, setup.workspace)
