"""The whole of the bench, case after case."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmark.bench.cases import cases
from benchmark.bench.growth import growths
from benchmark.bench.report import describe
from benchmark.bench.setup import Setup
from benchmark.bench.sides import compare
from benchmark.config import Settings
from benchmark.engine.devices import choose_device
from benchmark.engine.local import worker_devices
from fusion_methods import resolve_fusion


def setup_of(settings: Settings, folder: Path, data_dir: Path, *, device: str, workers: int) -> Setup:
    """Return a place to measure in; 0 workers are as many as the engine would take."""
    device = choose_device(device)
    return Setup(settings, folder, data_dir, device, len(worker_devices(device, workers, 1)))


def measure(setup: Setup, repeats: int) -> dict[str, Any]:
    """Time every case on an experiment, its frozen methods alone, and return the figures."""
    frozen = [method for method in setup.settings.methods if not resolve_fusion(method).end_to_end]
    setup = setup.with_settings(methods=frozen)
    console = Console(stderr=True)
    figures = []
    for case in cases(setup):
        figures.append(compare(case, setup, repeats))
        console.print(f"{case.name}: {figures[-1].ratio:.2f}×", highlight=False)
        sys.stderr.flush()
    return describe(setup, figures, growths(setup))
