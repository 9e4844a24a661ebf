"""The Slurm engine with submitit's executor for one machine: the same ledger as the local engine's."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from benchmark.config import UserError
from benchmark.engine.experiment import run_experiment
from benchmark.engine.outcomes import Request
from tests.engine.tiny import Collect, contents, tiny_request

slurm: Any = pytest.importorskip("benchmark.engine.slurm", exc_type=UserError, reason="submitit is not installed")


@pytest.fixture(autouse=True)
def on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "CLUSTER", "local")


def test_the_same_ledger_as_the_local_engines(undisturbed: Request, tmp_path: Path) -> None:
    request = tiny_request(tmp_path, data_dir=undisturbed.data_dir, engine="slurm", workers=2)
    summary = run_experiment(request, Collect())
    assert (summary.done, summary.failures) == (5, [])
    assert contents(request.folder) == contents(undisturbed.folder)


def test_a_run_whose_job_dies_is_submitted_once_more_and_then_fails(
    undisturbed: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "_do", _die)
    monkeypatch.setattr("submitit.core.core.Job._results_timeout_s", 1)  # no file system is slow here
    progress = Collect()
    request = tiny_request(tmp_path, data_dir=undisturbed.data_dir, engine="slurm", workers=1)
    summary = run_experiment(request, progress)
    assert summary.done == 0
    reasons = {failure.reason.partition(":")[0] for failure in summary.failures}
    assert "its job ended 2 times" in reasons
    assert len(list((request.folder / "slurm").glob("*_submitted.pkl"))) == 2 * 2  # two backbones, twice each


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_faults_are_one_line(undisturbed: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = tiny_request(tmp_path, data_dir=undisturbed.data_dir, engine="slurm")
    monkeypatch.setenv(slurm.OPTIONS, "partitions=gpu")
    with pytest.raises(UserError, match="FERFUSE_SLURM='partitions=gpu': "):
        run_experiment(request, Collect())
    monkeypatch.setattr(slurm, "CLUSTER", "slurm")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="there is no sbatch on this machine"):
        run_experiment(request, Collect())
