"""The time of one image: what is timed, what is added up, and that it is no part of a run's identity."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from benchmark.config import load_config
from benchmark.engine.experiment import Request, finished_runs, run_experiment
from benchmark.ledger import load_ledger
from benchmark.plan import Run
from benchmark.training import latency
from benchmark.training.latency import milliseconds_per_image
from benchmark.training.workspace import Workspace
from tests.conftest import TINY


class Quiet:
    def planned(self, runs: object, to_do: object) -> None:
        pass

    def ended(self, run: Run, outcome: object) -> None:
        pass


Done = tuple[dict[str, Run], Workspace]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("latency")
    settings = load_config("demo", {**TINY, "methods": ["late", "joint"], "backbones": ["resnet18", "resnet18#2"]})
    request = Request(settings, "timed", folder / "results", folder / "data", device="cpu", workers=1)
    run_experiment(request, Quiet())
    runs, workspace = finished_runs(request)
    return {run.method or run.backbones[0]: run for run in runs}, workspace


def test_every_run_is_timed_and_a_fused_one_takes_longer_than_its_networks(done: Done) -> None:
    _, workspace = done
    times = {
        record.method or record.backbones[0]: record.milliseconds
        for record in load_ledger(workspace.experiment).records
    }
    alone = times["resnet18"] + times["resnet18#2"]
    assert min(times.values()) > 0
    assert times["late"] > alone
    assert times["joint"] > alone


def clock(monkeypatch: pytest.MonkeyPatch, seconds: list[float]) -> None:
    """Let the i-th timed batch take `seconds[i]`."""
    ends = itertools.accumulate(seconds)
    readings = iter([reading for end, taken in zip(ends, seconds, strict=True) for reading in (end - taken, end)])
    monkeypatch.setattr(latency, "perf_counter", lambda: next(readings))


def test_the_fastest_batch_counts_and_the_first_is_not_timed(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, workspace = done
    calls: list[int] = []
    monkeypatch.setattr(latency, "_backbone", lambda *_: lambda rows: calls.append(len(rows)))
    clock(monkeypatch, [0.9, 0.2, 0.1, 0.3, 0.2])
    images = min(runs["resnet18"].hyperparameters["batch_size"], 56)
    assert milliseconds_per_image(runs["resnet18"], workspace) == pytest.approx(100 / images, rel=1e-5)
    assert calls == [images] * 6


@pytest.mark.parametrize("method", ["late", "joint"])
def test_a_method_adds_its_backbones_to_its_own_time(method: str, done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, workspace = done
    images = min(runs[method].hyperparameters["batch_size"], 56)
    branches = [r.milliseconds for r in load_ledger(workspace.experiment).records if r.kind == "backbone"]
    clock(monkeypatch, [images / 1000] * 5)
    expected = 1 + sum(filter(None, branches))
    assert milliseconds_per_image(runs[method], workspace) == pytest.approx(expected, rel=1e-6)


def test_a_method_on_backbones_that_were_not_timed_has_no_time(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, workspace = done
    untimed = [replace(record, milliseconds=None) for record in load_ledger(workspace.experiment).records]
    monkeypatch.setattr(latency, "read_record", lambda _, run_id: next(r for r in untimed if r.run_id == run_id))
    assert milliseconds_per_image(runs["late"], workspace) is None
