"""A model server on loopback says what `ferfuse predict` says."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import requests
from mlflow import MlflowClient

from tests.test_cli import SETTINGS, ferfuse

IMAGES = 20
PATIENCE = 240  # seconds until the server answers


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own use of SQLAlchemy
def test_the_server_and_the_command_agree(tmp_path: Path) -> None:
    methods = ["--methods", "late", "early"]
    ferfuse("reproduce", *SETTINGS, *methods, "--workers", "1", folder=tmp_path)
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("ferfuse demo synthetic")
    (model,) = client.search_logged_models([experiment.experiment_id])
    run = client.get_run(model.source_run_id)
    files = sorted(tmp_path.glob("data/synthetic/*/Image/aligned/test_*.jpg"))[:IMAGES]
    said = json.loads(ferfuse("predict", "--json", *files, folder=tmp_path).stdout)
    assert said["run_id"] == run.data.tags["ferfuse.run_id"]
    assert len(said["predictions"]) == IMAGES
    served = ask_server(model.model_uri, files, tmp_path)
    classes = list(served[0])
    expected = np.array([[row[name] for name in classes] for row in said["predictions"]])
    np.testing.assert_allclose([list(row.values()) for row in served], expected, atol=1e-5)
    assert len(np.unique(expected[:, 0])) > 1


def ask_server(model: str, files: list[Path], folder: Path) -> list[dict[str, float]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        model,
        "--env-manager",
        "local",
        "-p",
        str(port),
    ]
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
    }
    images = [[base64.b64encode(file.read_bytes()).decode()] for file in files]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "-h", "127.0.0.1", "-w", "1"], cwd=folder, stdout=log, stderr=log, env=environment
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/ping", server, folder)
        asked = {"dataframe_split": {"columns": ["image"], "data": images}}
        answer = requests.post(f"http://127.0.0.1:{port}/invocations", json=asked, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["predictions"])
    finally:
        server.terminate()
        server.wait()


def wait_for(address: str, server: subprocess.Popen[bytes], folder: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert server.poll() is None, (folder / "server.log").read_text()
        try:
            if requests.get(address, timeout=5).status_code == 200:
                return
        except requests.ConnectionError:
            time.sleep(1)
    raise AssertionError((folder / "server.log").read_text())
