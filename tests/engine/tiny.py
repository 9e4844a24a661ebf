"""A tiny experiment for the engines' tests, and what of it has to be the same however it was run."""

from __future__ import annotations

import json
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from benchmark.config import load_config
from benchmark.engine.fork_server import fork_server
from benchmark.engine.outcomes import Failure, Request
from benchmark.ledger import Record
from benchmark.plan import Run
from tests.conftest import NARROW, TINY

SMALL, SECOND = NARROW
SETTINGS = {**TINY, "backbones": NARROW, "methods": ["late", "early", "joint"]}
OF_THE_MACHINE = ("seconds", "milliseconds", "device", "environment", "seal")


class Collect:
    """Remember how runs ended, by label."""

    def __init__(self) -> None:
        self.ends: dict[str, Record | Failure] = {}
        self.to_do: list[str] = []

    def planned(self, runs: object, to_do: list[Run]) -> None:
        self.to_do = [run.label for run in to_do]

    def ended(self, run: Run, outcome: Record | Failure) -> None:
        self.ends[run.label] = outcome


def tiny_request(folder: Path, settings: dict[str, Any] | None = None, **changes: Any) -> Request:
    """A request for two backbones and a few methods on 168 drawn faces, without workers of its own."""
    chosen = load_config("demo", {**SETTINGS, **(settings or {})})
    data = changes.pop("data_dir", folder / "data")
    return Request(chosen, "tiny", folder / "results", data, **{"device": "cpu", "workers": 1, **changes})


def contents(experiment: Path) -> dict[str, Any]:
    """All files of the ledger by run, times and hosts left out."""
    found: dict[str, Any] = {}
    for folder in sorted((experiment / "runs").iterdir()):
        record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
        files = sorted(path.name for path in folder.iterdir())
        found[folder.name] = (
            {name: value for name, value in record.items() if name not in OF_THE_MACHINE},
            (folder / "predictions.parquet").read_bytes(),
            (folder / "history.csv").read_bytes(),
            files,
        )
    return found


def warm_process(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Start a process that has torch loaded already."""
    started = fork_server().Process(target=target, args=arguments)
    started.start()
    return started
