"""The command line in a process that may write no file beyond a size, which is refused as on a full disk."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from benchmark.cli import main
from tests.engine.tiny import warm_process


def on_a_small_disk(folder: Path, words: list[str], largest_file: int) -> tuple[int | None, list[str]]:
    """Run a command in a folder; return its exit status and what it complains of."""
    running = warm_process(_run, folder, words, largest_file)
    running.join()
    return running.exitcode, (folder / "stderr").read_text().splitlines()


def _run(folder: Path, words: list[str], largest_file: int) -> None:
    os.chdir(folder)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    sys.argv = ["ferfuse", *words]
    main()
