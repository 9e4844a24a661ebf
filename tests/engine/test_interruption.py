"""Kills, Ctrl-C and two processes at a real, tiny experiment: its ledger ends as that of an undisturbed one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from benchmark.engine import work
from benchmark.engine.experiment import run_experiment
from benchmark.engine.outcomes import Request
from benchmark.engine.overview import summary
from benchmark.ledger import Record, finished_runs, load_ledger
from benchmark.plan import Run
from benchmark.reporting.formats import render
from benchmark.reporting.report import make_table
from benchmark.training.workspace import Workspace
from tests.engine.tiny import Collect, contents, tiny_request, warm_process

EPOCHS = {"backbone_stage.epochs": 3}


def reproduce(request: Request) -> None:
    """What the processes of these tests do."""
    ended = run_experiment(request, Collect())
    assert not ended.failures


def process(request: Request, target: Callable[[Request], None] = reproduce) -> BaseProcess:
    """Start a process at an experiment."""
    return warm_process(target, request)


@pytest.fixture(scope="module")
def expected(undisturbed: Request, tmp_path_factory: pytest.TempPathFactory) -> Request:
    """The tiny experiment with a few more epochs, never disturbed."""
    request = tiny_request(tmp_path_factory.mktemp("expected"), EPOCHS, data_dir=undisturbed.data_dir)
    run_experiment(request, Collect())
    return request


def interrupted(expected: Request, folder: Path) -> Request:
    return tiny_request(folder, EPOCHS, data_dir=expected.data_dir, checkpoint_seconds=0.0)


def kill_at(files: list[str], request: Request) -> None:
    """Kill an experiment as soon as a new file of such a name is there."""
    known = set(request.folder.rglob("*"))
    running = process(request)
    while running.is_alive():
        new = {path.name for path in set(request.folder.rglob("*")) - known}
        if new.intersection(files):
            break
        time.sleep(0.002)
    assert running.pid is not None
    os.kill(running.pid, signal.SIGKILL)
    running.join()
    assert running.exitcode == -signal.SIGKILL


def test_killed_anywhere_it_ends_with_the_same_files(expected: Request, tmp_path: Path) -> None:
    request = interrupted(expected, tmp_path)
    kill_at(["plan.json.tmp", "plan.json"], request)
    kill_at(["checkpoint.safetensors"], request)
    kill_at(["predictions.parquet", "predictions.parquet.tmp"], request)
    kill_at(["outputs.safetensors", "outputs.safetensors.tmp"], request)
    reproduce(request)
    assert contents(request.folder) == contents(expected.folder)
    left = {path.name for path in request.folder.rglob("*") if path.suffix == ".tmp" or path.stem == "checkpoint"}
    assert left == set()


@pytest.mark.slow
def test_killed_at_thirty_random_moments(expected: Request, tmp_path: Path) -> None:
    """A process with two workers, which end with it; whenever the experiment gets to its end, it is compared."""
    moments = random.Random(7)
    kills = ends = 0
    while kills < 30 or not ends:
        request = replace(interrupted(expected, tmp_path / str(ends)), workers=2)
        running = process(request)
        running.join(moments.uniform(0.5, 6.0) if kills < 30 else None)
        if running.is_alive():
            running.kill()
            running.join()
            kills += 1
        else:
            assert running.exitcode == 0
            assert contents(request.folder) == contents(expected.folder)
            assert tables(request) == tables(expected)
            ends += 1


def tables(request: Request) -> list[str]:
    """Tables 1 and 2 as text, times left out."""
    ledger = load_ledger(request.folder)
    ledger = replace(ledger, records=[replace(record, milliseconds=None) for record in ledger.records])
    return [render(make_table(number, ledger), "markdown") for number in (1, 2)]


def noting(request: Request) -> None:
    """Write down which runs this process does itself."""
    real = work.execute

    def execute(run: Run, workspace: Workspace) -> Record:
        with (request.results_dir / f"{os.getpid()}.did").open("a") as file:
            file.write(f"{run.run_id}\n")
        return real(run, workspace)

    work.execute = execute  # type: ignore[attr-defined]
    reproduce(request)


def test_two_at_once_share_the_work(expected: Request, tmp_path: Path) -> None:
    request = interrupted(expected, tmp_path)
    both = [process(request, noting), process(request, noting)]
    for running in both:
        running.join()
        assert running.exitcode == 0
    assert contents(request.folder) == contents(expected.folder)
    did = [path.read_text().split() for path in sorted(request.results_dir.glob("*.did"))]
    assert len(did) == 2
    assert sorted(did[0] + did[1]) == finished_runs(request.folder)


def interrupted_while_it_learns(request: Request) -> BaseProcess:
    """Send Ctrl-C to a process that has come to its first checkpoint."""
    running = process(request, interruptible)
    while not list(request.folder.glob("artifacts/*/checkpoint.safetensors")):
        assert running.is_alive()
        time.sleep(0.002)
    assert running.pid is not None
    os.kill(running.pid, signal.SIGINT)
    return running


def test_ctrl_c_finishes_the_record_in_hand(expected: Request, tmp_path: Path) -> None:
    request = interrupted(expected, tmp_path)
    running = interrupted_while_it_learns(request)
    running.join()
    assert running.exitcode == 130
    found = summary(request.folder)
    assert (found["finished"], found["running"], found["failed"]) == (1, 0, 0)
    assert contents(request.folder).items() <= contents(expected.folder).items()


def test_a_second_ctrl_c_stops_at_once(expected: Request, tmp_path: Path) -> None:
    request = interrupted(expected, tmp_path)
    running = interrupted_while_it_learns(request)
    time.sleep(0.05)
    assert running.pid is not None
    os.kill(running.pid, signal.SIGINT)
    running.join()
    assert running.exitcode == 130
    assert summary(request.folder)["finished"] == 0


def interruptible(request: Request) -> None:
    """End as the command line does; a fork server that was started ahead has passed on that it takes no Ctrl-C."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        run_experiment(request, Collect())
    except KeyboardInterrupt:
        os._exit(130)


def test_ctrl_c_while_the_fork_server_imports_is_for_its_parent_alone() -> None:
    script = (
        "import signal, time; from benchmark.engine.fork_server import start_fork_server\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it\n"
        "start_fork_server()\n"
        "print('started', flush=True)\n"
        "try: time.sleep(60)\n"
        "except KeyboardInterrupt: print('answered')\n"
    )
    command = [sys.executable, "-c", script]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "started\n"
    time.sleep(3)  # it has begun to import torch
    os.killpg(running.pid, signal.SIGINT)
    said, complaints = running.communicate(timeout=120)
    assert (said, complaints) == ("answered\n", "")
