"""When verdicts are given, and what share of alpha each look may spend."""

import pytest

from benchmark.statistics.looks import Look, looks


def test_one_planned_look_and_its_doublings() -> None:
    found = looks([10], 10)
    assert found.reached
    assert found.current == Look(10, pytest.approx(0.04))
    assert found.following == Look(20, pytest.approx(0.005))
    later = looks([10], 41)
    assert later.current == Look(40, pytest.approx(0.0025))
    assert later.following == Look(80, pytest.approx(0.00125))


def test_planned_looks_share_alike() -> None:
    third = pytest.approx(0.04 / 3)
    assert looks([5, 10, 20], 12).current == Look(10, third)
    assert looks([5, 10, 20], 12).following == Look(20, third)
    assert looks([5, 10, 20], 20).following == Look(40, pytest.approx(0.005))


def test_before_the_first_look_there_is_none() -> None:
    found = looks([10], 9)
    assert not found.reached
    assert found.current == found.following == Look(10, pytest.approx(0.04))


def test_all_looks_ever_spend_alpha_together() -> None:
    later = [looks([10], 10 * 2**step).current.alpha for step in range(1, 12)]
    assert 0.0499 < 0.04 + sum(later) < 0.05


@pytest.mark.parametrize("plan", [[], [0], [10, 5], [5, 5]])
def test_what_is_no_plan_is_refused(plan: list[int]) -> None:
    with pytest.raises(ValueError, match="planned looks"):
        looks(plan, 5)
