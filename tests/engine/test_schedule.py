"""The order of runs, and what failed, lost and busy ones mean for the others; runs are made up, nothing is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from benchmark.config import UserError, load_config
from benchmark.engine import schedule as schedule_module
from benchmark.engine.outcomes import Busy, Failed, Failure, Halt, Lost, Outcome
from benchmark.engine.schedule import Schedule, carry_out
from benchmark.ledger import Record
from benchmark.plan import Run, make_plan
from tests.conftest import make_record


@pytest.fixture(scope="module")
def plan() -> list[Run]:
    settings = load_config(
        "demo", {"backbones": ["resnet18", "vgg11", "vgg13"], "seeds": 2, "methods": ["late", "joint"]}
    )
    return make_plan(settings, "0" * 32, 7, 100)


def record_of(run: Run) -> Record:
    return make_record(run.kind, run.method, list(run.backbones), run.seed, 0.5)


class Scripted:
    """An engine that ends runs as a script says, newest first, so that order of submission is not order of ends."""

    slots = 3

    def __init__(self, outcome_of: Callable[[Run, int], Outcome]) -> None:
        self.outcome_of = outcome_of
        self.begun: list[str] = []
        self.flying: list[Run] = []

    def submit(self, run: Run) -> None:
        assert len(self.flying) < self.slots
        self.begun.append(run.label)
        self.flying.append(run)

    def wait(self, seconds: float | None) -> list[tuple[Run, Outcome]]:
        run = self.flying.pop()
        return [(run, self.outcome_of(run, self.begun.count(run.label)))]

    def stop(self) -> None:
        pass


def ends(
    runs: list[Run], engine: Scripted, known: list[Run] | None = None, stop: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def finished(run: Run, outcome: Record | Failure) -> None:
        assert run.label not in found
        found[run.label] = outcome

    carry_out(Schedule(runs, known or []), engine, finished, stop)
    return found


def test_every_run_comes_after_its_parents_and_dear_ones_first(plan: list[Run]) -> None:
    ended: list[str] = []

    def well(run: Run, _: int) -> Outcome:
        assert set(run.parents) <= set(ended)
        ended.append(run.run_id)
        return record_of(run)

    engine = Scripted(well)
    assert set(ends(plan, engine)) == {run.label for run in plan}
    assert engine.begun[0].startswith("vgg13")
    assert [label.split(" ")[0] for label in engine.begun[:6]].count("resnet18") == 2
    place = {label: i for i, label in enumerate(engine.begun)}
    for pair in ("resnet18+vgg11", "resnet18+vgg13", "vgg11+vgg13"):
        assert place[f"joint · {pair} · seed 0"] < place[f"late · {pair} · seed 0"]


def test_what_starts_from_a_failed_backbone_is_reported_and_not_run(plan: list[Run]) -> None:
    engine = Scripted(lambda run, _: Failed("too large") if run.label == "vgg13 · seed 1" else record_of(run))
    found = ends(plan, engine)
    assert set(found) == {run.label for run in plan}
    children = {
        f"{method} · {pair} · seed 1" for method in ("late", "joint") for pair in ("resnet18+vgg13", "vgg11+vgg13")
    }
    failed = {label for label, outcome in found.items() if isinstance(outcome, Failure)}
    assert failed == {"vgg13 · seed 1"} | children
    assert found["vgg13 · seed 1"].reason == "too large"
    assert not set(engine.begun) & children


def test_a_run_that_another_process_is_at_is_asked_for_again(plan: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule_module, "POLL", 0.001)
    engine = Scripted(lambda run, times: Busy() if run.label == "vgg11 · seed 0" and times < 3 else record_of(run))
    found = ends(plan, engine)
    assert set(found) == {run.label for run in plan}
    assert engine.begun.count("vgg11 · seed 0") == 3
    assert {engine.begun.count(label) for label in found if label != "vgg11 · seed 0"} == {1}


def test_lost_weights_bring_their_run_back_before_those_that_start_from_it(plan: list[Run]) -> None:
    """Only fusion runs are left; two find the same backbone's weights gone; it is done once, then they are."""
    fusion = [run for run in plan if run.kind == "fusion"]
    lost = next(run for run in plan if run.label == "vgg11 · seed 1")
    there = False

    def outcome_of(run: Run, _: int) -> Outcome:
        nonlocal there
        if run.run_id == lost.run_id:
            there = True
        elif lost.run_id in run.parents and not there:
            return Lost(lost.run_id, "gone")
        return record_of(run)

    engine = Scripted(outcome_of)
    found = ends(fusion, engine, plan)
    assert set(found) == {run.label for run in fusion} | {"vgg11 · seed 1"}
    assert engine.begun.count("vgg11 · seed 1") == 1
    assert not any(isinstance(outcome, Failure) for outcome in found.values())


def test_weights_that_are_lost_again_and_again_fail_the_run(plan: list[Run]) -> None:
    fusion = [run for run in plan if run.label == "late · resnet18+vgg11 · seed 0"]
    engine = Scripted(lambda run, _: Lost(run.parents[0], "gone") if run.parents else record_of(run))
    schedule = Schedule(fusion, plan)
    found: list[Any] = []
    carry_out(schedule, engine, lambda run, outcome: found.append((run.label, outcome)), lambda: False)
    assert isinstance(found[-1][1], Failure)
    assert found[-1][1].reason == "gone"
    assert engine.begun.count("resnet18 · seed 0") == schedule_module.RESTORES


def test_a_full_disk_stops_everything_in_one_line(plan: list[Run]) -> None:
    engine = Scripted(lambda run, _: Halt("results cannot be written") if "vgg11" in run.label else record_of(run))
    with pytest.raises(UserError, match="cannot be written"):
        ends(plan, engine)
    assert not any(label.startswith("late") for label in engine.begun)


def test_once_asked_to_stop_what_is_under_way_ends_and_nothing_begins(plan: list[Run]) -> None:
    engine = Scripted(lambda run, _: record_of(run))
    found: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        carry_out(Schedule(plan), engine, lambda run, _: found.append(run.label), lambda: bool(found))
    assert 1 <= len(found) <= 1 + engine.slots
    assert set(found) == set(engine.begun)


def test_another_order_is_carried_out_as_given(plan: list[Run]) -> None:
    backbones = [run for run in plan if run.kind == "backbone"]
    engine = Scripted(lambda run, _: record_of(run))
    carry_out(Schedule(backbones, priority=lambda run: (run.cost,)), engine, lambda *_: None, lambda: False)
    assert engine.begun[0].startswith("resnet18")
