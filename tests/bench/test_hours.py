"""The protocol's hours against sums by hand."""

from __future__ import annotations

from typing import Any

import pytest

from benchmark.bench.gpu_report import gpu_page
from benchmark.bench.hours import TEST, TRAIN, protocol_hours
from benchmark.config import Settings, load_config

HEADS = [{"early": {"alone": 1000.0, "stacked": 4000.0, "heads": 60}, "gated": {"alone": 2000.0}}]
LEARNT, LOOKED_AT = 0.9 * TRAIN, 0.1 * TRAIN + TEST
EPOCH = LEARNT / 100 + LOOKED_AT / 400  # seconds at 100 images a second in training and 400 in evaluation


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_config("paper", {"weights": "none", "backbones": ["resnet18", "vgg11", "vgg13"], "seeds": 2})


def cell(name: str, factor: float, *, compiled: bool = False) -> dict[str, Any]:
    """A training at `factor` times 100 and 400 images a second alone, and half as many in each of two processes."""
    alone = {"training": 100 * factor, "evaluation": 400 * factor, "memory": 2 * 10**9, "start": 9.0}
    half = {**alone, "training": 50 * factor, "evaluation": 200 * factor}
    turns = {"1": [[alone]] * 3, "2": [[half, half]] * 3}
    return {"name": name, "compiled": compiled, "batch": 48, "macs": 10**9, "turns": turns}


def found_of(*cells: dict[str, Any]) -> dict[str, Any]:
    machine = {"name": "A GPU", "driver": "580.1", "torch": "2.11", "matrix": 8192, "peak_macs": 12e12}
    return {"machine": machine, "measured": "2026-11-26T06:00:00", "repeats": 3, "cells": list(cells), "heads": HEADS}


ALONE = [cell("resnet18", 2.0), cell("vgg11", 1.0), cell("vgg13", 1.0)]


@pytest.mark.parametrize("count", [1, 2])
def test_measured_trainings_times_epochs_and_seeds(settings: Settings, count: int) -> None:
    found = found_of(*ALONE, cell("resnet18+vgg11", 0.5))
    hours = protocol_hours(settings, found, count, compiled=False)
    assert hours is not None
    per_hour = 2 * 50 / 3600  # two seeds of 50 epochs
    assert hours.backbones == pytest.approx(per_hour * EPOCH * (0.5 + 1 + 1))
    # The measured pair takes 2 epochs of 100 images a second where its networks take 1.5: 4/3 of theirs.
    assert hours.joint == pytest.approx(per_hour * EPOCH * (2 + 4 / 3 * 1.5 + 4 / 3 * 2))
    assert hours.scaled == ("resnet18+vgg13", "vgg11+vgg13")
    assert hours.heads == pytest.approx(per_hour * 3 * LEARNT * (1 / 4000 + 1 / 2000))
    assert hours.total == pytest.approx(hours.backbones + hours.joint + hours.heads)


def test_compiled_steps_count_where_they_were_measured(settings: Settings) -> None:
    found = found_of(*ALONE, cell("resnet18+vgg11", 0.5), cell("vgg13", 4.0, compiled=True))
    hours = protocol_hours(settings, found, 1, compiled=True)
    assert hours is not None
    per_hour = 2 * 50 / 3600
    assert hours.backbones == pytest.approx(per_hour * EPOCH * (0.5 + 1 + 0.25))
    assert hours.joint == pytest.approx(per_hour * EPOCH * (2 + 4 / 3 * 0.75 + 4 / 3 * 1.25))


def test_no_hours_before_all_of_it_is_measured(settings: Settings) -> None:
    whole = [*ALONE, cell("resnet18+vgg11", 0.5)]
    for missing in range(len(whole)):
        cells = [one for place, one in enumerate(whole) if place != missing]
        assert protocol_hours(settings, found_of(*cells), 1, compiled=False) is None
    assert protocol_hours(settings, {**found_of(*whole), "heads": []}, 1, compiled=False) is None


def test_the_page_gives_the_share_of_the_peak_and_says_what_failed(settings: Settings) -> None:
    broken = cell("vgg13", 1.0, compiled=True)
    broken["turns"]["2"] = [[broken["turns"]["2"][0][0], {"error": "OutOfMemoryError: too much"}]]
    lines = [
        " ".join(line.replace("|", " ").split()) for line in gpu_page(found_of(*ALONE, broken), settings).split("\n")
    ]
    # 200 images a second times 6e9 FLOP an image are 5 % of 24 TFLOP/s.
    assert "resnet18 eager 1 200 (200 to 200) 240.00 5.0% 800 2.0 9.0" in lines
    assert "resnet18 eager 2 200 (200 to 200) 240.00 5.0% 800 4.0 9.0" in lines
    assert "vgg13 compiled 2 OutOfMemoryError: too much" in lines
    assert "early 1000 4000 60 4.00x (4.00 to 4.00)" in lines
    assert "A GPU, driver 580.1, torch 2.11, 2026-11-26T06:00:00, n = 3 turns of each." in lines
    assert not any("Hours of" in line for line in lines)  # no pair was measured
