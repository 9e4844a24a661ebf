"""Runs of one experiment that are those of another one too: the same id is the same result, and is taken over."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from benchmark.ledger import artifact_folder, is_finished, run_folder
from benchmark.scratch import half_made


def adopt_runs(run_ids: Iterable[str], source: Path, target: Path) -> int:
    """Take over the finished runs that an experiment has and another one needs; returns how many.

    What later runs need (weights, outputs) is linked where the file system can. A run's record comes last, as when it
    was written.
    """
    adopted = 0
    for run_id in run_ids:
        if is_finished(target, run_id) or not is_finished(source, run_id):
            continue
        if artifact_folder(source, run_id).is_dir():
            _copy(artifact_folder(source, run_id), artifact_folder(target, run_id))
        _copy(run_folder(source, run_id), run_folder(target, run_id))
        adopted += 1
    return adopted


def _copy(source: Path, target: Path) -> None:
    """Link or copy a folder's files under temporary names, then rename them; `record.json` comes last."""
    target.mkdir(parents=True, exist_ok=True)
    files = [
        path for path in source.iterdir() if path.is_file() and path.suffix != ".lock" and ".half-" not in path.name
    ]
    for path in sorted(files, key=lambda path: path.name == "record.json"):
        partial = half_made(target / path.name)
        partial.unlink(missing_ok=True)
        try:
            os.link(path, partial)
        except OSError:
            shutil.copy2(path, partial)
        partial.replace(target / path.name)
