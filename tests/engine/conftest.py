"""The tiny experiment, run once without any interruption, for comparison."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.engine.experiment import run_experiment
from benchmark.engine.outcomes import Request
from tests.engine.tiny import Collect, tiny_request


@pytest.fixture(scope="package")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Request:
    """The tiny experiment, finished; not to be changed."""
    request = tiny_request(tmp_path_factory.mktemp("undisturbed"))
    run_experiment(request, Collect())
    return request


@pytest.fixture
def data_dir(undisturbed: Request) -> Path:
    """Its drawn faces, so that no test draws them again."""
    return undisturbed.data_dir
