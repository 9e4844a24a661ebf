"""What the bench makes of two sides whose speeds are known."""

from __future__ import annotations

import time

import pytest

from benchmark.bench.cases import cases
from benchmark.bench.setup import Setup
from benchmark.bench.sides import Case, Done, Once, Place, Side, Team, compare


def half_a_second(setup: Setup, number: int, count: int) -> Once:
    """Work that says it took half a second for ten units."""
    return lambda: Done(10, 0.5)


def a_nap(setup: Setup, number: int, count: int) -> Once:
    """Work that takes a fifth of a second for one unit and says nothing of it."""

    def once() -> Done:
        time.sleep(0.2)
        return Done(1)

    return once


def fails(setup: Setup, number: int, count: int) -> Once:
    """Work that cannot be prepared."""
    raise MemoryError("too large")


def test_the_ratio_is_that_of_the_rates_and_processes_add_up(setup: Setup) -> None:
    figure = compare(Case("planted", "units", Side(half_a_second, 2), Side(a_nap)), setup, 3)
    assert figure.fast == 40.0
    assert 0.5 < figure.plain <= 5.0  # a nap is never shorter than a fifth of a second
    assert figure.ratio == sorted(figure.ratios)[1]
    assert min(figure.ratios) >= 8.0
    assert figure.fast_memory > 1.5 * figure.plain_memory > 1e7


def test_a_side_that_ends_early_ends_the_bench(setup: Setup) -> None:
    with pytest.raises(RuntimeError, match="ended before its work"):
        compare(Case("planted", "units", Side(fails), Side(half_a_second)), setup, 1)


def test_every_backbone_and_both_stages_are_cases(setup: Setup) -> None:
    names = [case.name for case in cases(setup)]
    assert names == ["data path", "stage 1, resnet18", "stage 1, resnet18#2", "fusion stage"]


def counts_its_turns(place: Place) -> None:
    """Work whose result is its number, its device and how many turns it had."""
    turns = 0
    while True:
        place.turn((place.number, place.device, turns))
        turns += 1


def test_as_many_processes_work_as_a_turn_is_for_and_each_has_its_own_device() -> None:
    team = Team(["cpu:0", "cpu:1"], threads=1)
    try:
        team.prepare(counts_its_turns)
        assert team.turn(1) == [(0, "cpu:0", 1)]
        assert team.turn() == [(0, "cpu:0", 2), (1, "cpu:1", 1)]
        team.end_work()
        team.prepare(counts_its_turns)
        assert team.turn(1) == [(0, "cpu:0", 1)]
    finally:
        team.stop()
