"""The local engine: worker processes on this machine, each with one thread on a CPU, or bound to one GPU.

Two processes of one thread train more images a second than one of two threads: small images leave little to share
between threads. Every worker is a process of its own, not part of a pool, so that one that the system kills takes
one run with it and no other.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from pathlib import Path

import torch

from benchmark.cores import usable_cores
from benchmark.engine.fork_server import fork_server
from benchmark.engine.outcomes import Failed, Outcome
from benchmark.engine.work import prepare_process, work_together
from benchmark.ledger import write_failure
from benchmark.plan import Run
from benchmark.training.workspace import Workspace

TRIES = 2  # of a run whose worker process is killed


@dataclass(frozen=True)
class Setup:
    """What every worker is told at its start; `to_do` are runs that it may take along with the one it is given."""

    workspace: Workspace
    plugins: tuple[Path, ...] = ()
    deterministic: bool = False
    to_do: tuple[Run, ...] = ()


def worker_devices(device: str, workers: int, per_gpu: int) -> list[str]:
    """Return the device of every worker: all GPUs in turn, or the one that is named, or the CPU's cores.

    Args:
        device: "cpu", "cuda" (every GPU that this process sees) or "cuda:1".
        workers: their number; 0 is `per_gpu` for each GPU, or one for each core that this process may use.
    """
    if not device.startswith("cuda"):
        return [device] * (workers or usable_cores())
    gpus = [device] if ":" in device else [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return [gpus[i % len(gpus)] for i in range(workers or per_gpu * len(gpus))]


class InProcess:
    """Do one run after the other in this process."""

    slots = 1

    def __init__(self, setup: Setup) -> None:
        prepare_process(setup.workspace.device, setup.deterministic, setup.plugins)
        self.workspace, self.to_do = setup.workspace, setup.to_do
        self.waiting: deque[Run] = deque()

    def submit(self, run: Run) -> None:
        """Take a run."""
        self.waiting.append(run)

    def wait(self, seconds: float | None) -> list[tuple[Run, Outcome]]:
        """Do the run that was taken first, however long it takes."""
        run = self.waiting.popleft()
        return [(run, work_together(run, self.to_do, self.workspace))]

    def stop(self) -> None:
        """Nothing is under way between two calls."""


class LocalProcesses:
    """Do runs in worker processes, one at a time in each; a killed one is replaced and its run tried once more."""

    def __init__(self, setup: Setup, devices: Sequence[str]) -> None:
        self.experiment = setup.workspace.experiment
        self.setups = [replace(setup, workspace=replace(setup.workspace, device=device)) for device in devices]
        self.workers: list[_Worker | None] = [None] * len(devices)
        self.killed: Counter[str] = Counter()

    @property
    def slots(self) -> int:
        """One for each worker."""
        return len(self.workers)

    def submit(self, run: Run) -> None:
        """Give a run to a worker that has none."""
        place = next(i for i, worker in enumerate(self.workers) if worker is None or worker.run is None)
        worker = self.workers[place]
        if worker is None or not worker.process.is_alive():
            worker = self.workers[place] = _Worker(self.setups[place])
        worker.begin(run, alone=self.killed[run.run_id] > 0)

    def wait(self, seconds: float | None) -> list[tuple[Run, Outcome]]:
        """Return runs that have ended; that of a worker which died is begun again, or fails."""
        busy = {worker.connection: i for i, worker in enumerate(self.workers) if worker and worker.run}
        ended: list[tuple[Run, Outcome]] = []
        for connection in wait_for(list(busy), seconds):
            place = busy[connection]  # type: ignore[index]
            worker = self.workers[place]
            assert worker is not None
            assert worker.run is not None
            run = worker.run
            outcome = worker.result()
            if outcome is None:
                self.workers[place] = None
                outcome = self._after_death(run, worker.process.exitcode)
            if outcome is not None:
                ended.append((run, outcome))
        return ended

    def _after_death(self, run: Run, exitcode: int | None) -> Failed | None:
        self.killed[run.run_id] += 1
        if self.killed[run.run_id] < TRIES:
            self.submit(run)
            return None
        how = f"by signal {-exitcode}" if exitcode and exitcode < 0 else f"with exit status {exitcode}"
        reason = f"its worker process ended {how}, {TRIES} times (not enough memory?)"
        write_failure(self.experiment, run.run_id, reason)
        return Failed(reason)

    def stop(self) -> None:
        """End all workers; a run under way keeps its last checkpoint."""
        for worker in self.workers:
            if worker is not None:
                worker.process.kill()
                worker.process.join()


class _Worker:
    """A process and the pipe to it."""

    def __init__(self, setup: Setup) -> None:
        context = fork_server()
        self.connection, other_end = context.Pipe()
        self.process = context.Process(target=_serve, args=(other_end, setup), daemon=True)
        self.process.start()
        other_end.close()
        self.run: Run | None = None

    def begin(self, run: Run, *, alone: bool) -> None:
        """Send a run to the process, and whether others may be taken along with it."""
        self.run = run
        self.connection.send((run, alone))

    def result(self) -> Outcome | None:
        """Return how the run ended; None where the process did."""
        self.run = None
        try:
            outcome: Outcome = self.connection.recv()
        except EOFError:
            self.process.join()
            return None
        return outcome


def _serve(connection: Connection, setup: Setup) -> None:
    """Do the runs that come through the pipe until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    prepare_process(setup.workspace.device, setup.deterministic, setup.plugins)
    while True:
        try:
            run, alone = connection.recv()
        except EOFError:
            return
        connection.send(work_together(run, () if alone else setup.to_do, setup.workspace))


def _end_with_parent() -> None:
    """End this process when its parent is gone, so that none is left behind when that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
