"""Tuning studies in MLflow: a run for each study below the experiment's own, and a run for each of its trials."""

from __future__ import annotations

from pathlib import Path

from benchmark.tracking.store import Mirror


def write_studies(mirror: Mirror, folder: Path) -> None:
    """Write the studies that MLflow does not hold."""
