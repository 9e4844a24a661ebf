"""The bench of a CPU: every path of the suite against the plain way, then heads in a stack against heads alone."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmark.bench.cases import cases
from benchmark.bench.heads import heads_both_ways
from benchmark.bench.setup import Setup
from benchmark.bench.sides import Team, compare
from benchmark.config import Settings
from benchmark.engine.devices import choose_device
from benchmark.engine.local import worker_devices
from fusion_methods import resolve_fusion


def setup_of(settings: Settings, folder: Path, data_dir: Path, *, device: str, workers: int) -> Setup:
    """Return a place to measure in; 0 workers are as many as the engine would take."""
    device = choose_device(device)
    return Setup(settings, folder, data_dir, device, len(worker_devices(device, workers, 1)))


def measure(setup: Setup, repeats: int) -> Iterator[dict[str, Any]]:
    """Yield all that is known after each case, on an experiment's frozen methods alone."""
    frozen = [method for method in setup.settings.methods if not resolve_fusion(method).end_to_end]
    setup = setup.with_settings(methods=frozen)
    found = _description(setup, repeats)
    for case in cases(setup):
        found["figures"].append(asdict(compare(case, setup, repeats)))
        yield found
    team = Team(worker_devices(setup.device, 1, 1), threads=1)
    runs = [run for run in setup.plan if run.kind == "fusion"]
    try:
        team.prepare(partial(heads_both_ways, runs, setup.workspace))
        found["heads"] = [team.turn()[0] for _ in range(1 + repeats)][1:]
    finally:
        team.stop()
    yield found


def _description(setup: Setup, repeats: int) -> dict[str, Any]:
    """Return what is measured and on what, without a figure yet."""
    return {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": f"{platform.machine()} CPU",
        "cores": setup.cores,
        "workers": setup.workers,
        "torch": torch.__version__,
        "repeats": repeats,
        "data": {
            "name": setup.workspace.manifest.title,
            "images": len(setup.workspace.manifest),
            "image_size": setup.settings.data.image_size,
        },
        "load_before": os.getloadavg()[0],
        "figures": [],
        "heads": [],
    }
