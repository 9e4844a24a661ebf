"""The order of runs, and what a failed one means for those that start from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmark.config import load_config
from benchmark.engine import local
from benchmark.engine.local import Failure, default_workers, run_in_process
from benchmark.plan import Run, make_plan

ENGINES: dict[str, Callable[..., None]] = {"in process": run_in_process}


@pytest.fixture(scope="module")
def plan() -> list[Run]:
    settings = load_config(
        "demo", {"backbones": ["resnet18", "vgg11", "vgg13"], "seeds": 2, "methods": ["late", "joint"]}
    )
    return make_plan(settings, "0" * 32, 7, 100)


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the work of a run by writing its label down; vgg13 of seed 1 fails."""
    labels: list[str] = []

    def execute(run: Run, _: Any) -> Any:
        labels.append(run.label)
        if run.label == "vgg13 · seed 1":
            raise MemoryError("too large")
        return SimpleNamespace(run_id=run.run_id)

    monkeypatch.setattr(local, "execute", execute)
    return labels


def outcomes(plan: list[Run]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    workspace: Any = SimpleNamespace(device="cpu")
    run_in_process(plan, workspace, lambda run, outcome: found.__setitem__(run.label, outcome))
    return found


def test_every_run_comes_after_its_parents_and_large_ones_first(plan: list[Run], executed: list[str]) -> None:
    outcomes(plan)
    place = {label: i for i, label in enumerate(executed)}
    known = {run.run_id: run for run in plan}
    for run in plan:
        assert all(place[known[parent].label] < place[run.label] for parent in run.parents if run.label in place)
    assert executed[0].startswith("vgg13")
    assert executed[5].startswith("resnet18")


def test_what_starts_from_a_failed_backbone_is_reported_and_not_run(plan: list[Run], executed: list[str]) -> None:
    found = outcomes(plan)
    assert set(found) == {run.label for run in plan}
    failed = {label for label, outcome in found.items() if isinstance(outcome, Failure)}
    assert found["vgg13 · seed 1"].reason == "MemoryError: too large"
    expected = {"vgg13 · seed 1"} | {
        f"{method} · {pair} · seed 1" for method in ("late", "joint") for pair in ("resnet18+vgg13", "vgg11+vgg13")
    }
    assert failed == expected
    assert not set(executed) & (expected - {"vgg13 · seed 1"})


def test_one_worker_for_a_gpu_and_one_for_each_core() -> None:
    assert default_workers("cuda") == 1
    assert default_workers("cuda:1") == 1
    assert default_workers("cpu") >= 1


def test_processes_do_the_same_as_one(plan: list[Run], executed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With threads in place of processes, the pool's scheduling reports the same ends as one after the other."""
    from concurrent.futures import ThreadPoolExecutor

    def threads(workers: int, _: Any, start: Callable[..., None], setup: tuple[Any, ...]) -> ThreadPoolExecutor:
        start(*setup)
        return ThreadPoolExecutor(workers)

    monkeypatch.setattr(local, "ProcessPoolExecutor", threads)
    found: dict[str, Any] = {}
    workspace: Any = SimpleNamespace(device="none")
    local.run_locally(
        plan, workspace, 2, [Path("none")][:0], lambda run, outcome: found.__setitem__(run.label, outcome)
    )
    alone = outcomes(plan)
    assert {label: isinstance(outcome, Failure) for label, outcome in found.items()} == {
        label: isinstance(outcome, Failure) for label, outcome in alone.items()
    }
