"""What tests of training share: a real, tiny experiment of two backbones."""

from __future__ import annotations

import pytest

from benchmark.config import load_config
from benchmark.engine.experiment import Request, run_experiment
from benchmark.ledger import Record
from benchmark.plan import Run
from tests.conftest import NARROW, TINY

METHODS = [
    "late",
    "early",
    "early:partner=shuffled",
    "early:features=cross-fitted",
    "late:features=cross-fitted",
    "attention-fusion:axis=spatial",
    "attention-fusion:axis=batch",
    "joint",
    "ogm-ge",
]


class Quiet:
    def planned(self, runs: object, to_do: object) -> None:
        pass

    def ended(self, run: Run, outcome: object) -> None:
        assert isinstance(outcome, Record), outcome


@pytest.fixture(scope="session")
def request_(tmp_path_factory: pytest.TempPathFactory) -> Request:
    """A finished experiment of two backbones with every stage; not to be changed."""
    folder = tmp_path_factory.mktemp("stages")
    settings = load_config("demo", {**TINY, "methods": METHODS, "data.image_size": 48, "backbones": NARROW})
    request = Request(settings, "stages", folder / "results", folder / "data", device="cpu", workers=1)
    run_experiment(request, Quiet())
    return request
