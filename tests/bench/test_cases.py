"""The suite's side of every case does its work, more than once."""

from __future__ import annotations

import pytest

from benchmark.bench.cases import cases
from benchmark.bench.setup import Setup


@pytest.mark.parametrize("name", ["data path", "stage 1, resnet18", "fusion stage"])
def test_a_side_can_be_timed_again(name: str, setup: Setup) -> None:
    case = next(case for case in cases(setup) if case.name == name)
    once = case.fast.prepare(setup, 0, 2)
    first, again = once(), once()
    assert first == again
    assert first.units > 0
    assert first.seconds is None
