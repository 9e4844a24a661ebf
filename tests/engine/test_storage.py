"""A disk that is full or read-only, at the command line: one line, exit status 2, nothing half-written that counts."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.engine.outcomes import Request
from benchmark.engine.overview import summary
from tests.engine.tiny import SETTINGS, contents

WORDS = [f"--set={name}={json.dumps(value)}" for name, value in SETTINGS.items()]


def reproduce(
    folder: Path, data_dir: Path, largest_file: int = resource.RLIM_INFINITY
) -> subprocess.CompletedProcess[str]:
    """Run the command; a file beyond a size is refused by the system, as on a full disk."""
    words = ["reproduce", "--experiment", "tiny", "--workers", "1", "--no-track", "--data-dir", str(data_dir), *WORDS]
    return subprocess.run(
        [sys.executable, "-c", "from benchmark.cli import main; main()", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file)),
    )


def test_no_room_for_weights_and_then_room(undisturbed: Request, tmp_path: Path) -> None:
    done = reproduce(tmp_path, undisturbed.data_dir, 1_000_000)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert (
        "weights.safetensors cannot be written (File too large); free space or rights" in done.stderr.splitlines()[-1]
    )
    experiment = tmp_path / "results" / "tiny"
    assert (summary(experiment)["finished"], summary(experiment)["failed"]) == (0, 0)
    assert not list(experiment.rglob("*.tmp"))
    assert not list(experiment.rglob("weights.safetensors"))
    done = reproduce(tmp_path, undisturbed.data_dir)
    assert done.returncode == 0, done.stderr
    assert contents(experiment) == contents(undisturbed.folder)


def test_a_results_folder_that_cannot_be_made(undisturbed: Request, tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file where the folder should be")
    done = reproduce(tmp_path, undisturbed.data_dir)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "results" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_read_only_folder(undisturbed: Request, tmp_path: Path) -> None:
    """/proc takes no folders, whoever asks."""
    (tmp_path / "results").symlink_to("/proc/sys/kernel")
    done = reproduce(tmp_path, undisturbed.data_dir)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "cannot be written" in done.stderr
