"""What the bench makes of two sides whose speeds are known."""

from __future__ import annotations

import time

import pytest

from benchmark.bench import growth
from benchmark.bench.cases import cases
from benchmark.bench.growth import growths
from benchmark.bench.report import as_text
from benchmark.bench.setup import Setup
from benchmark.bench.sides import Case, Done, Figure, Once, Side, compare


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


def test_growth_is_a_slope_on_two_logarithms(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds(at: Setup) -> float:
        images = at.settings.data.synthetic.train / 112
        return 0.1 * at.settings.seeds**1.0 * images**2.0

    monkeypatch.setattr(growth, "_seconds", seconds)
    found = {figure.name: figure for figure in growths(setup)}
    assert found["seeds"].slope == pytest.approx(1.0)
    assert found["images"].slope == pytest.approx(2.0)
    assert found["images"].seconds == pytest.approx([0.1, 0.4, 1.6])
    assert found["pairs"].sizes == [1]
    assert found["pairs"].slope is None


def test_every_backbone_and_both_stages_are_cases(setup: Setup) -> None:
    names = [case.name for case in cases(setup)]
    assert names == ["data path", "stage 1, resnet18", "stage 1, resnet18#2", "fusion stage", "fusion heads"]


def test_the_table_holds_every_figure(setup: Setup) -> None:
    figure = Figure("data path", "images", 6.5, [6.0, 6.5, 8.0], 1234.0, 190.0, 10**9, 2 * 10**9, "a note")
    found = {
        "device": "x86_64 CPU",
        "cores": 2,
        "workers": 2,
        "torch": "2",
        "data": {"name": "drawn", "images": 168, "image_size": 32},
        "figures": [figure.to_json()],
        "growth": [growth.Growth("seeds", [1, 2], [1.0, 2.0], 1.0).to_json()],
    }
    text = as_text(found)
    assert "data path 6.50× 6.00 to 8.00 1234 190 images 1.00 2.00" in " ".join(text.split())
    assert "data path: a note." in text
    assert "1: 1.00 s, 2: 2.00 s; slope 1.00" in text
