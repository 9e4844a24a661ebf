"""The process of the live mirror: `python -m benchmark.tracking [--system-metrics] FOLDER REPORT [PLUGIN...]`.

It looks into the ledger now and then, writes what is new, and ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmark.config import UserError
from benchmark.ledger import existing_experiment, finished_runs
from benchmark.tracking.live import FINISHED
from benchmark.tracking.store import Mirror, only_writer
from benchmark.tracking.sync import UnreachableError, write_ending, write_new_runs, writing

SECONDS_APART = 5.0
NICENESS = 10  # training goes first


def main(arguments: Sequence[str]) -> int:
    """Mirror until told to end; the reason for giving up goes to standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted experiment still closes its runs
    os.nice(NICENESS)
    load = "--system-metrics" in arguments
    folder, report, *plugins = (Path(word) for word in arguments if word != "--system-metrics")
    try:
        with writing(), only_writer(folder):
            mirror = Mirror(existing_experiment(folder))
            with system_metrics(mirror.parent) if load else contextlib.nullcontext():
                word = _follow(mirror, folder)
            if finished_runs(folder):
                write_new_runs(mirror, folder)
            if word == FINISHED:
                write_ending(mirror, folder, report, plugins)
            mirror.close(finished=word == FINISHED)
    except (UnreachableError, UserError) as error:
        print(error)
        return 1
    return 0


def _follow(mirror: Mirror, folder: Path) -> str:
    """Write new runs until standard input ends; return what it said."""
    while not select.select([sys.stdin], [], [], SECONDS_APART)[0]:
        if not mirror.known.keys() >= set(finished_runs(folder)):
            write_new_runs(mirror, folder)
    return sys.stdin.read().strip()


@contextlib.contextmanager
def system_metrics(run_id: str) -> Iterator[None]:
    """Log the machine's load to a run while something goes on."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor  # with psutil, an extra

    monitor = SystemMetricsMonitor(run_id, resume_logging=True)
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
