"""Projects in folders of any name, moved ones, and experiments that were deleted in MLflow's page."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.tracking.store import database_of
from tests.conftest import make_record, write_ledger

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "from benchmark.cli import main; main()"
DELETE = (
    "import mlflow; c = mlflow.MlflowClient('sqlite:///mlflow.db'); "
    "c.delete_experiment([e for e in c.search_experiments() if e.name != 'Default'][0].experiment_id)"
)


def project(folder: Path) -> None:
    """A project with a ledger of one run."""
    write_ledger(folder / "results" / "demo", [make_record("backbone", None, ["resnet18"], 0, 0.5)])


def in_folder(folder: Path, code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder as a user does: a process of its own, since MLflow keeps stores open."""
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**environment, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
    )


def synchronise(folder: Path) -> subprocess.CompletedProcess[str]:
    return in_folder(folder, COMMAND, "track", "--sync", "--experiment", "demo")


@pytest.mark.parametrize(
    "name",
    ["my project", "my%20project", *(pytest.param(n, marks=pytest.mark.slow) for n in ("run #2", "what?", "ä'[x]"))],
)
def test_files_lie_in_the_project_and_nowhere_else(tmp_path: Path, name: str) -> None:
    project(tmp_path / name)
    done = synchronise(tmp_path / name)
    assert "holds 1 of 1 runs" in done.stdout, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert {"mlflow.db", "mlruns", "results"} <= {path.name for path in (tmp_path / name).iterdir()}
    assert list((tmp_path / name / "mlruns").rglob("*.png"))


def test_a_moved_project_is_told_so(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    project(old)
    synchronise(old)
    shutil.move(old, new)
    done = synchronise(new)
    assert done.returncode == 2
    assert "old, where this project was before; delete mlflow.db" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not old.exists()
    (new / "mlflow.db").unlink()
    assert "holds 1 of 1 runs" in synchronise(new).stdout


def test_a_deleted_experiment_is_brought_back(tmp_path: Path) -> None:
    project(tmp_path)
    synchronise(tmp_path)
    assert in_folder(tmp_path, DELETE).returncode == 0
    assert "holds 1 of 1 runs" in synchronise(tmp_path).stdout


def test_the_database_of_an_address_is_unquoted() -> None:
    assert database_of("sqlite:////a/my%20b/mlflow.db?timeout=3") == Path("/a/my b/mlflow.db")
    assert database_of("sqlite:///mlflow.db") == Path("mlflow.db").resolve()
