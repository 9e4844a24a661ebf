"""What a few steps on this machine cost: what is measured, what is scaled, and what is counted by hand."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from benchmark.config import UserError
from benchmark.engine import calibrate
from benchmark.engine.calibrate import calibrated
from benchmark.engine.costs import Costs, Footprint, HeadCost, NetworkCost, mean_of
from benchmark.engine.experiment import planned_runs, planned_workspace
from benchmark.plan import Run
from benchmark.training.workspace import Workspace
from tests.conftest import NARROW
from tests.engine.tiny import tiny_request

WIDER = "wide-resnet18:width=0.5"
PAIR = (NARROW[0], WIDER)
OUTPUTS = 4 * (128 + 7 + 256 + 7)  # bytes of an image's features and logits of both


class OneProcess:
    """Nobody to wait for."""

    def wait(self) -> int:
        """Go on."""
        return 0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Run], Workspace]:
    """Two seeds of three networks, one of them a copy, and their heads."""
    settings = {"backbones": [*NARROW, WIDER], "methods": ["late", "early", "gated", "joint"], "seeds": 2}
    request = tiny_request(tmp_path_factory.mktemp("calibrate"), settings)
    return planned_runs(request), planned_workspace(request)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate._Clock, "barrier", OneProcess(), raising=False)
    monkeypatch.setattr(calibrate._Clock, "votes", [0], raising=False)


def costs_until(place: tuple[list[Run], Workspace], until: float) -> Costs:
    return calibrate._calibrate(*place, (), until)


def test_every_network_and_head_is_measured_where_there_is_time(place: tuple[list[Run], Workspace]) -> None:
    costs = costs_until(place, time.monotonic() + 600)
    assert set(costs.networks) == {NARROW[0], WIDER}  # a copy costs what its original does
    assert not any(cost.scaled_from for cost in [*costs.networks.values(), *costs.heads.values()])
    for cost in costs.networks.values():
        assert 0 < cost.evaluation < cost.training
    wide = costs.networks[WIDER]
    assert (wide.output, wide.maps) == (4 * (256 + 7), 4 * 256)  # the map of 32 pixels has one position
    assert set(costs.heads) == {
        (method, pair) for method in ("late", "early", "gated") for pair in [tuple(NARROW), PAIR, (NARROW[1], WIDER)]
    }
    assert costs.heads["late", PAIR] == HeadCost(0.0, 0.0, 168 * OUTPUTS)
    early = costs.heads["early", PAIR]
    assert early.training > early.evaluation > 0
    assert early.outputs == 168 * OUTPUTS
    assert costs.base > 10**8


def test_when_the_time_is_over_rates_are_scaled_by_multiply_adds(place: tuple[list[Run], Workspace]) -> None:
    started = time.monotonic()
    costs = costs_until(place, until=started)
    known, scaled = costs.networks[NARROW[0]], costs.networks[WIDER]
    assert (known.scaled_from, scaled.scaled_from) == ("", NARROW[0])
    macs = {run.backbones: run.macs for run in place[0] if run.kind == "backbone"}
    assert scaled.training / known.training == pytest.approx(macs[WIDER,] / macs[NARROW[0],])
    assert scaled.footprint.weights > known.footprint.weights  # memory is counted for each
    measured = [cell for cell, cost in costs.heads.items() if cost.training and not cost.scaled_from]
    assert {method for method, _ in measured} == {"early"}
    assert {cost.scaled_from for (method, _), cost in costs.heads.items() if method == "gated"} == {"early"}


def test_heads_that_a_gpu_stacks_are_measured_in_a_stack(
    place: tuple[list[Run], Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "pays", lambda _: True)
    built: list[int] = []

    class Counted(calibrate.Stack):
        def __init__(self, heads: list[object]) -> None:
            built.append(len(heads))
            super().__init__(heads)  # type: ignore[arg-type]

    monkeypatch.setattr(calibrate, "Stack", Counted)
    runs = [run for run in place[0] if run.method == "early"]
    costs = calibrate._calibrate(runs, place[1], (), time.monotonic() + 600)
    assert sorted(built) == [2, 4]  # two seeds of the pair of copies; of the two pairs that the wider one is in
    # Both seeds' outputs of both networks are held, and in the larger stack those of three networks in all.
    assert costs.heads["early", tuple(NARROW)].outputs == 2 * 168 * 4 * 2 * (128 + 7)
    assert costs.heads["early", PAIR].outputs == 3 * 168 * OUTPUTS


def test_processes_that_share_a_device_measure_at_the_same_time(place: tuple[list[Run], Workspace]) -> None:
    runs = [run for run in place[0] if run.seed == 0 and run.backbones == (NARROW[0],)]
    costs = calibrated(runs, place[1], 2, ())
    assert costs.networks[NARROW[0]].training > 0
    assert costs.heads == {}


def test_what_one_process_has_no_time_for_none_measures() -> None:
    calibrate._meet_at(threading.Barrier(2, timeout=10), [0, 0])  # type: ignore[arg-type]
    slow, fast = (calibrate._Clock("cpu", time.monotonic() + 60) for _ in range(2))
    slow.last, fast.last = ("a", 1.0), ("a", 0.001)

    def allowed(clock: calibrate._Clock) -> list[bool]:
        return [clock.allows(work) for work in (1, 100, 2, 100_000)]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(allowed, (slow, fast))) == [[True, False, True, False]] * 2


def test_a_process_that_is_killed_is_answered(place: tuple[list[Run], Workspace], tmp_path: Path) -> None:
    (tmp_path / "deadly.py").write_text("import os, signal\n\nos.kill(os.getpid(), signal.SIGKILL)\n")
    with pytest.raises(UserError, match="cpu has not enough memory to calibrate in 2 processes; take fewer workers"):
        calibrated(place[0], place[1], 2, (tmp_path / "deadly.py",))


def test_heads_whose_stack_does_not_work_are_measured_alone(
    place: tuple[list[Run], Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "pays", lambda _: True)
    monkeypatch.setattr(calibrate.Stack, "forward", lambda *_: 1 / 0)
    runs = [run for run in place[0] if run.method == "early" and run.backbones == PAIR]
    costs = calibrate._calibrate(runs, place[1], (), time.monotonic() + 600)
    assert costs.heads["early", PAIR].training > 0


@pytest.mark.parametrize(
    ("fault", "expected"), [(torch.OutOfMemoryError("too large"), None), (ValueError("a defect"), ValueError)]
)
def test_a_process_that_fails_lets_the_others_go(
    fault: Exception, expected: type[Exception] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go: list[bool] = []
    monkeypatch.setattr(calibrate._Clock.barrier, "abort", lambda: let_go.append(True), raising=False)
    monkeypatch.setattr(calibrate, "_calibrate", lambda *_: (_ for _ in ()).throw(fault))
    if expected is None:
        assert calibrate._calibrate_or_say_why_not() is None
    else:
        with pytest.raises(expected):
            calibrate._calibrate_or_say_why_not()
    assert let_go == [True]


def test_the_cost_is_the_mean_of_the_processes() -> None:
    def one(training: float, base: int) -> Costs:
        network = NetworkCost(training, 2 * training, Footprint(1, 2.0, 3.0), 4, 5)
        return Costs({"a": network}, {("early", ("a", "a")): HeadCost(training, 1.0, 6)}, base)

    mean = mean_of([one(1.0, 10), one(3.0, 20)])
    assert mean == one(2.0, 20)
