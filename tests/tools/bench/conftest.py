"""A small experiment to time."""

from __future__ import annotations

import pytest

from benchmark.config import load_config
from tests.conftest import TINY
from tools.bench.setup import Setup


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    """Two seeds of one small backbone and a pair of it, on 112 + 56 drawn faces."""
    folder = tmp_path_factory.mktemp("bench")
    changes = {"backbones": ["resnet18", "resnet18#2"], "methods": ["late", "early"], "seeds": 2}
    return Setup(load_config("demo", {**TINY, **changes}), folder / "place", folder / "data", "cpu", workers=2, cores=1)
