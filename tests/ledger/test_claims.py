"""One process at a run, whatever becomes of that process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.ledger.claims import claim, held_runs, holder

HOLD = """
import sys, time
from pathlib import Path
from benchmark.ledger.claims import claim
with claim(Path(sys.argv[1]), "run") as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path) -> subprocess.Popen[str]:
    """Another process, holding a run."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    return process


def test_a_held_run_is_not_given_twice_and_is_free_when_its_process_dies(
    other: subprocess.Popen[str], tmp_path: Path
) -> None:
    with other:
        with claim(tmp_path, "run") as mine:
            assert not mine
        process = holder(tmp_path, "run")
        assert process is not None
        assert process["pid"] == other.pid
        assert list(held_runs(tmp_path)) == ["run"]
        other.send_signal(signal.SIGKILL)
    assert held_runs(tmp_path) == {}
    with claim(tmp_path, "run") as mine:
        assert mine
        process = holder(tmp_path, "run")
        assert process is not None
        assert process["pid"] == os.getpid()


def test_a_claim_leaves_nothing_behind(tmp_path: Path) -> None:
    with claim(tmp_path, "run") as mine, claim(tmp_path, "other") as second:
        assert mine
        assert second
    assert list((tmp_path / "locks").iterdir()) == []
    assert holder(tmp_path, "run") is None
