"""The GPU bench's parts, on a CPU and two narrow networks."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from benchmark.bench.gpu import CLASSES, Cell, GpuPlan, _place_to_work, measure_gpu, training
from benchmark.bench.gpu_report import gpu_page
from benchmark.bench.sides import Place
from benchmark.config import load_config
from benchmark.plan import make_plan
from benchmark.training import step
from tests.conftest import NARROW

STAGE = {f"{stage}.batch_size": 8 for stage in ("backbone_stage", "fusion_stage", "joint_stage")}
SETTINGS = load_config(
    "paper",
    {
        **STAGE,
        "weights": "none",
        "data.dataset": "synthetic",
        "data.image_size": 32,
        "backbones": NARROW,
        "methods": ["late", "early", "joint"],
        "seeds": 2,
        "precision": "float32",
    },
)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What is known after each part."""
    plan = GpuPlan(SETTINGS, "cpu", (), repeats=2, steps=12, head_epochs=1, side_by_side=(1, 2), matrix=64)
    return [copy.deepcopy(found) for found in measure_gpu(plan, tmp_path_factory.mktemp("gpu"))]


def test_every_part_is_handed_on_as_soon_as_it_is_measured(parts: list[dict[str, Any]]) -> None:
    assert [(len(found["cells"]), bool(found["heads"])) for found in parts] == [
        (0, False),
        (1, False),
        (2, False),
        (3, False),
        (3, True),
    ]
    assert parts[0]["machine"]["peak_macs"] > 0


def test_a_turn_is_an_epoch_of_training_and_evaluation_in_each_process(parts: list[dict[str, Any]]) -> None:
    cells = parts[-1]["cells"]
    assert [cell["name"] for cell in cells] == [*NARROW, "+".join(NARROW)]
    for cell in cells:
        assert {count: [len(turn) for turn in turns] for count, turns in cell["turns"].items()} == {
            "1": [1, 1],
            "2": [2, 2],
        }
        for place in (place for turns in cell["turns"].values() for turn in turns for place in turn):
            assert place["training"] > 0
            assert place["evaluation"] > place["training"]  # it does a third of the work
            assert place["start"] > 0
    assert cells[2]["macs"] > cells[0]["macs"] + cells[1]["macs"]


def test_heads_are_trained_both_ways_where_there_is_something_to_train(parts: list[dict[str, Any]]) -> None:
    heads = parts[-1]["heads"]
    assert len(heads) == 2
    assert list(heads[0]) == ["early"]
    assert heads[0]["early"]["heads"] == SETTINGS.seeds
    assert min(heads[0]["early"].values()) > 0


def test_the_page_of_a_bench_that_was_cut_off_has_what_was_measured(parts: list[dict[str, Any]]) -> None:
    assert NARROW[0] not in gpu_page(parts[0], SETTINGS)
    assert NARROW[0] in gpu_page(parts[1], SETTINGS)
    assert "Hours of paper on RAF-DB, 2 seeds, extrapolated" in gpu_page(parts[-1], SETTINGS)


def test_steps_that_are_not_compiled_after_all_are_told(
    parts: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "_disagreement", lambda *_: "planted")
    results: list[dict[str, Any]] = []

    def turn(result: dict[str, Any]) -> None:
        results.append(result)
        raise KeyboardInterrupt

    small, workspace = _place_to_work(GpuPlan(SETTINGS, "cpu", steps=12), tmp_path)
    run = make_plan(small, workspace.dataset_digest, CLASSES, 96)[0]
    with pytest.raises(KeyboardInterrupt):
        training(Cell(run, (), compiled=True), workspace, Place(0, 1, "cpu", turn))
    assert results[0]["notes"] == ["Logits is trained without torch.compile: planted"]
    cell = {**parts[1]["cells"][0], "compiled": True, "turns": {"1": [results]}}
    assert "without torch.compile: planted" in gpu_page({**parts[1], "cells": [cell]}, SETTINGS)


def test_a_training_that_fails_is_told_and_ends_nothing(tmp_path: Path) -> None:
    stage = SETTINGS.joint_stage.model_copy(update={"learning_rate": 1e30})
    settings = SETTINGS.model_copy(update={"joint_stage": stage, "methods": ["joint"]})
    plan = GpuPlan(settings, "cpu", (), repeats=1, steps=12, side_by_side=(1,), matrix=64)
    *_, found = measure_gpu(plan, tmp_path)
    turn = found["cells"][-1]["turns"]["1"][0]
    assert "DivergedError" in turn[0]["error"]
    assert "DivergedError" in gpu_page(found, settings)
