"""Looks and margin are planned when an experiment is made, and stay as they were."""

from typing import Any

import pytest

from benchmark.config import UserError, load_config
from benchmark.engine.description import planned_statistics


def asked(**changes: Any) -> Any:
    return load_config("demo", {f"statistics.{name}": value for name, value in changes.items()} | {"seeds": 5})


def made(seeds: int, **statistics: Any) -> dict[str, Any]:
    return {"settings": {"seeds": seeds, **({"statistics": statistics} if statistics else {})}}


def test_the_default_plan_is_one_look_at_the_experiments_seeds() -> None:
    assert planned_statistics(asked(), None) == {"looks": [5], "margin": 0.5}
    assert planned_statistics(asked(looks=[3, 5], margin=1.0), None) == {"looks": [3, 5], "margin": 1.0}


def test_more_seeds_change_no_plan() -> None:
    assert planned_statistics(asked(), made(3, looks=[3], margin=0.5)) == {"looks": [3], "margin": 0.5}
    assert planned_statistics(asked(looks=[3]), made(3, looks=[3], margin=0.5))["looks"] == [3]
    assert planned_statistics(asked(), made(4)) == {"looks": [4], "margin": 0.5}  # an older ledger


def test_fewer_than_three_seeds_were_no_plan() -> None:
    assert planned_statistics(asked(), made(1, looks=[], margin=0.5)) == {"looks": [5], "margin": 0.5}


@pytest.mark.parametrize("changes", [{"looks": [3, 5]}, {"margin": 1.0}])
def test_another_plan_after_the_results_are_known_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="was planned with statistics"):
        planned_statistics(asked(**changes), made(4, looks=[4], margin=0.5))


@pytest.mark.parametrize("looks", [[5, 3], [3, 3], [2]])
def test_what_is_no_plan_is_refused(looks: list[int]) -> None:
    with pytest.raises(UserError, match="looks"):
        asked(looks=looks)
