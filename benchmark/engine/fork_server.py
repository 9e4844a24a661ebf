"""The process that worker processes are forked from: torch is imported once, and its pages are shared.

Importing this module imports no torch.
"""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext


def fork_server() -> ForkServerContext:
    """Return the context that makes processes by it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmark.engine.work"])
    return context


def start_fork_server() -> None:
    """Start it ahead of the first worker, so that it imports while this process reads data and plans.

    Ctrl-C is for the process that started it to answer, also while it imports.
    """
    fork_server()
    resource_tracker.ensure_running()  # which listens to the signal again when it is there
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
