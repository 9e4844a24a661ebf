"""The local engine: worker processes on this machine, each with one thread on a CPU.

Two processes of one thread train more images a second than one of two threads: small images leave little to share
between threads. One thread each also makes a run's numbers independent of how many workers there are.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmark.ledger import Record
from benchmark.plan import Run
from benchmark.training import execute
from benchmark.training.workspace import Workspace
from fusion_methods import load_entry_points, load_plugin

STAGE_ORDER = {"backbone": 0, "joint": 1, "cross-fitted": 2, "stored": 3}


@dataclass(frozen=True)
class Failure:
    """A run that did not finish, and why."""

    run: Run
    reason: str


class WorkersDiedError(RuntimeError):
    """The operating system ended a worker process; finished runs are in the ledger."""


Finished = Callable[[Run, Record | Failure], None]


def default_workers(device: str) -> int:
    """Return one worker for a GPU, one for every core of a CPU that this process may use."""
    return 1 if device.startswith("cuda") else len(os.sched_getaffinity(0))


def run_locally(
    runs: Sequence[Run], workspace: Workspace, workers: int, plugins: Sequence[Path], finished: Finished
) -> None:
    """Do all runs, every one after its parents, and report each as it ends.

    A run that fails is reported with its reason; those that start from it are reported as failed too, the others go on.

    Raises:
        WorkersDiedError: a worker process was killed from outside.
    """
    waiting = sorted(runs, key=lambda run: (STAGE_ORDER[run.stage], -run.cost))
    pending = {run.run_id for run in runs}
    broken: set[str] = set()
    flying: dict[Future[Record | str], Run] = {}
    context = multiprocessing.get_context("spawn")
    setup = (workspace, tuple(plugins))
    with ProcessPoolExecutor(min(workers, len(runs)), context, _start_worker, setup) as pool:
        try:
            while waiting or flying:
                for run in _ready(waiting, pending, limit=2 * workers - len(flying)):
                    waiting.remove(run)
                    if broken.intersection(run.parents):
                        _end(
                            run,
                            Failure(run, "a backbone that it starts from failed"),
                            pending,
                            broken,
                            finished,
                        )
                    else:
                        flying[pool.submit(_work, run)] = run
                done, _ = wait(flying, return_when=FIRST_COMPLETED)
                for future in done:
                    run, result = flying.pop(future), future.result()
                    outcome = Failure(run, result) if isinstance(result, str) else result
                    _end(run, outcome, pending, broken, finished)
        except BrokenProcessPool as error:
            raise WorkersDiedError("a worker process was killed (out of memory?); finished runs are kept") from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def run_in_process(runs: Sequence[Run], workspace: Workspace, finished: Finished) -> None:
    """Do all runs one after the other in this process."""
    _prepare_torch(workspace.device)
    pending: set[str] = {run.run_id for run in runs}
    broken: set[str] = set()
    for run in sorted(runs, key=lambda run: (STAGE_ORDER[run.stage], -run.cost)):
        if broken.intersection(run.parents):
            result: Record | str = "a backbone that it starts from failed"
        else:
            result = _attempt(run, workspace)
        _end(run, Failure(run, result) if isinstance(result, str) else result, pending, broken, finished)


def _ready(waiting: Sequence[Run], pending: set[str], limit: int) -> list[Run]:
    """Return the first `limit` waiting runs whose parents have ended."""
    ready = (run for run in waiting if not pending.intersection(run.parents))
    return [run for _, run in zip(range(limit), ready, strict=False)]


def _end(run: Run, outcome: Record | Failure, pending: set[str], broken: set[str], finished: Finished) -> None:
    pending.discard(run.run_id)
    if isinstance(outcome, Failure):
        broken.add(run.run_id)
    finished(run, outcome)


_workspace: Workspace | None = None


def _start_worker(workspace: Workspace, plugins: tuple[Path, ...]) -> None:
    global _workspace
    _prepare_torch(workspace.device)
    load_entry_points()
    for plugin in plugins:
        load_plugin(plugin)
    _workspace = workspace


def _prepare_torch(device: str) -> None:
    if device == "cpu":
        torch.set_num_threads(1)


def _work(run: Run) -> Record | str:
    assert _workspace is not None
    return _attempt(run, _workspace)


def _attempt(run: Run, workspace: Workspace) -> Record | str:
    """Do a run; a failure comes back as its reason, so that it ends this run alone."""
    try:
        return execute(run, workspace)
    except Exception as error:  # the reason is reported, the other runs go on
        return f"{type(error).__name__}: {error}"
