"""What is held in memory is bounded and let go of, and a run that gets too little is tried again before it changes."""

from __future__ import annotations

import gc
import shutil
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark import training
from benchmark.engine.experiment import Request, finished_runs
from benchmark.engine.outcomes import Failed
from benchmark.engine.work import work
from benchmark.ledger import artifact_folder
from benchmark.plan import Run
from benchmark.training import device, fusion
from benchmark.training.backbone import MAPS, OUTPUTS, branch_output, trained_backbone
from benchmark.training.checkpoint import load_tensors
from benchmark.training.fit import BatchTooLargeError, Outcome
from benchmark.training.fusion import StoredOutputs
from benchmark.training.workspace import Workspace
from tests.training.random_outputs import place_of_random_outputs

TOO_LARGE = BatchTooLargeError("out of memory")
READING = torch.OutOfMemoryError("CUDA out of memory")


@pytest.fixture
def place(tmp_path: Path) -> tuple[list[Run], Workspace]:
    plan, workspace = place_of_random_outputs(tmp_path, ["early"])
    return [run for run in plan if run.kind == "fusion"], workspace


def test_outputs_are_held_up_to_a_size(place: tuple[list[Run], Workspace], monkeypatch: pytest.MonkeyPatch) -> None:
    runs, workspace = place
    one = (168 * 512 + 168 * 7) * 4
    monkeypatch.setattr(fusion, "HELD_BYTES", 3 * one)
    first = StoredOutputs(runs[0], workspace)
    again = StoredOutputs(runs[0], workspace)
    assert all(mine is other for mine, other in zip(first.branches, again.branches, strict=True))
    other = next(run for run in runs if not set(run.parents) & set(runs[0].parents))
    StoredOutputs(other, workspace)
    assert list(workspace.outputs) == [(run_id, False) for run_id in (runs[0].parents[1], *other.parents)]
    monkeypatch.setattr(fusion, "HELD_BYTES", 1)
    StoredOutputs(runs[0], workspace)
    assert list(workspace.outputs) == [(runs[0].parents[1], False)]


def test_a_workspace_that_is_dropped_frees_what_it_held(place: tuple[list[Run], Workspace]) -> None:
    runs, workspace = place
    fresh = replace(workspace)
    held = [
        weakref.ref(fresh),
        weakref.ref(fresh.images),
        weakref.ref(StoredOutputs(runs[0], fresh).branches[0].features),
    ]
    assert len(fresh.split(0).test) == 56
    del fresh
    gc.collect()
    assert [ref() for ref in held] == [None] * 3


def test_maps_of_a_run_in_bfloat16_are_kept_in_it_and_read_as_they_were(request_: Request, tmp_path: Path) -> None:
    runs, finished = finished_runs(request_)
    run = next(run for run in runs if run.method == "attention-fusion:axis=spatial")
    for parent in run.parents:
        shutil.copytree(artifact_folder(finished.experiment, parent), artifact_folder(tmp_path, parent))
        for name in (OUTPUTS, MAPS):
            (artifact_folder(tmp_path, parent) / name).unlink()
    settings = finished.settings.model_copy(update={"precision": "bfloat16"})
    workspace = replace(finished, settings=settings, experiment=tmp_path)
    rows = np.arange(len(workspace.manifest))
    taken = StoredOutputs(run, workspace).with_maps().evaluation_batch(torch.from_numpy(rows))
    for parent, spec, stored in zip(run.parents, run.backbones, taken, strict=True):
        kept = load_tensors(artifact_folder(tmp_path, parent) / MAPS)["maps"]
        assert kept.dtype == torch.bfloat16
        with torch.inference_mode():
            network = trained_backbone(parent, spec, workspace).eval()
            computed = branch_output(network, workspace.network_input(rows), "bfloat16")
        for mine, expected in zip(stored, computed, strict=True):
            assert mine is not None
            assert torch.equal(mine, expected)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[float]]:
    """Let training fail by these errors, one a time, on a device that is shared or not; returns the waits."""

    def prepare(*errors: Exception, shared: bool) -> list[float]:
        left, waits = list(errors), []

        def stage(run: Run, workspace: Workspace) -> Outcome:
            assert not workspace.outputs
            StoredOutputs(run, workspace)
            if left:
                raise left.pop(0)
            return Outcome()

        monkeypatch.setitem(training.STAGES, "stored", stage)
        monkeypatch.setattr(training, "is_shared", lambda _: shared)
        monkeypatch.setattr(training.time, "sleep", waits.append)
        return waits

    return prepare


def test_a_neighbour_is_waited_for_before_batches_are_cut(
    place: tuple[list[Run], Workspace], failing: Callable[..., list[float]], caplog: pytest.LogCaptureFixture
) -> None:
    runs, workspace = place
    waits = failing(TOO_LARGE, READING, TOO_LARGE, shared=True)
    training.train(runs[0], workspace)
    assert waits == [training.PAUSE] * 3
    assert workspace.micro_batches == {}
    assert caplog.messages[0].endswith("out of memory beside other processes on cpu; try 1 of 10 in 30 s")


def test_a_neighbour_that_stays_is_not_waited_for_for_ever(
    place: tuple[list[Run], Workspace], failing: Callable[..., list[float]]
) -> None:
    runs, workspace = place
    waits = failing(*[TOO_LARGE] * (training.WAITS + 2), shared=True)
    training.train(runs[0], workspace)
    assert len(waits) == training.WAITS
    assert workspace.micro_batches == {runs[0].run_id: int(runs[0].hyperparameters["batch_size"]) // 4}


def test_on_a_device_of_its_own_a_batch_is_cut_at_once(
    place: tuple[list[Run], Workspace], failing: Callable[..., list[float]]
) -> None:
    runs, workspace = place
    assert failing(TOO_LARGE, shared=False) == []
    training.train(runs[0], workspace)
    assert workspace.micro_batches == {runs[0].run_id: int(runs[0].hyperparameters["batch_size"]) // 2}


def test_memory_that_runs_out_while_outputs_are_read_fails_the_run(
    place: tuple[list[Run], Workspace], failing: Callable[..., list[float]]
) -> None:
    runs, workspace = place
    failing(READING, shared=False)
    with pytest.raises(torch.OutOfMemoryError):
        training.train(runs[0], workspace)
    assert workspace.micro_batches == {}


@pytest.mark.parametrize(("free", "shared"), [(70, False), (69, False), (60, True)])
def test_a_gpu_is_shared_where_more_is_taken_than_this_process_has(
    free: int, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free * 2**30, 80 * 2**30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 10 * 2**30)
    assert device.is_shared("cuda:1") == shared
    assert not device.is_shared("cpu")


def test_it_is_that_runs_failure_in_one_line(
    place: tuple[list[Run], Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.54 GiB.\nMore about it")

    monkeypatch.setattr(fusion, "stored_outputs", read)
    outcome = work(place[0][0], place[1])
    assert isinstance(outcome, Failed)
    assert outcome.reason == "OutOfMemoryError: CUDA out of memory. Tried to allocate 1.54 GiB. More about it"
