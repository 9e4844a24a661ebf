"""A disk that is full or read-only, at the command line: one line, exit status 2, nothing half-written that counts."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import pytest

from benchmark.engine.outcomes import Request
from benchmark.engine.overview import summary
from tests.engine.tiny import SETTINGS, contents
from tests.small_disk import on_a_small_disk

WORDS = [f"--set={name}={json.dumps(value)}" for name, value in SETTINGS.items()]


def reproduce(folder: Path, data_dir: Path, largest_file: int = resource.RLIM_INFINITY) -> tuple[int | None, list[str]]:
    """Run the command, a file beyond a size refused as on a full disk; return its status and what it complains of."""
    words = ["reproduce", "--experiment", "tiny", "--workers", "1", "--no-track", "--data-dir", str(data_dir), *WORDS]
    return on_a_small_disk(folder, words, largest_file)


def test_no_room_for_weights_and_then_room(undisturbed: Request, tmp_path: Path) -> None:
    status, lines = reproduce(tmp_path, undisturbed.data_dir, 1_000_000)
    assert status == 2, lines
    assert not any("Traceback" in line for line in lines)
    assert "weights.safetensors cannot be written (File too large); free space or rights" in lines[-1]
    experiment = tmp_path / "results" / "tiny"
    assert (summary(experiment)["finished"], summary(experiment)["failed"]) == (0, 0)
    assert not list(experiment.rglob("*.tmp"))
    assert not list(experiment.rglob("weights.safetensors"))
    status, lines = reproduce(tmp_path, undisturbed.data_dir)
    assert status == 0, lines
    assert contents(experiment) == contents(undisturbed.folder)


@pytest.mark.skipif(sys.platform != "linux", reason="/sys is Linux's")
def test_a_read_only_folder(undisturbed: Request, tmp_path: Path) -> None:
    """/sys takes no folders, whoever asks."""
    (tmp_path / "results").symlink_to("/sys/kernel")
    status, lines = reproduce(tmp_path, undisturbed.data_dir)
    assert status == 2, lines
    assert len(lines) == 1
    assert "cannot be written" in lines[0]
