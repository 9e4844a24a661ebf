"""The speed of a GPU: training steps as a share of its measured peak, one run alone and several side by side.

The suite's own training runs on images drawn at random, in up to two processes that share one device. What is
measured is handed on part by part, so that a bench that is cut off keeps what it has.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.bench.heads import heads_both_ways
from benchmark.bench.sides import Place, Team, Work
from benchmark.config import Settings
from benchmark.data.manifest import Manifest
from benchmark.engine.devices import describe_device
from benchmark.engine.local import worker_devices
from benchmark.plan import Run, make_plan
from benchmark.training.backbone import Logits, initial_backbone
from benchmark.training.checkpoint import stage_of
from benchmark.training.device import peak_memory, synchronise
from benchmark.training.fit import Scores, fit
from benchmark.training.fusion import EndToEnd, initial_fusion
from benchmark.training.images import image_task
from benchmark.training.resume import execution_of
from benchmark.training.workspace import Workspace

CLASSES = 7
TEST_SHARE = 0.2  # as in RAF-DB
STORED = 100  # pixels: RAF-DB's aligned faces, which are kept as they are and enlarged on the device
WARM_EPOCHS = 1  # before the first turn: kernels are chosen, steps compiled


@dataclass(frozen=True)
class GpuPlan:
    """What is measured.

    Attributes:
        settings: the protocol whose networks, pairs, heads and batch sizes are measured.
        compiled: what is measured with compiled steps too: backbones, and pairs joined by "+".
        repeats: turns of each figure.
        steps: of an epoch, which is what a process does in a turn; `head_epochs` are a fusion head's.
        side_by_side: how many processes share the device.
        matrix: rows and columns of the product that shows the peak.
    """

    settings: Settings
    device: str
    compiled: Sequence[str] = ("resnet18", "vgg11")
    repeats: int = 3
    steps: int = 30
    head_epochs: int = 3
    side_by_side: Sequence[int] = (1, 2)
    matrix: int = 8192


@dataclass(frozen=True)
class Cell:
    """A training that is measured: a backbone's run, or an end-to-end run and those of its backbones."""

    run: Run
    parents: Sequence[Run]
    compiled: bool

    @property
    def name(self) -> str:
        """The backbones, joined by "+"."""
        return "+".join(self.run.backbones)


def measure_gpu(plan: GpuPlan, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield all that is known after each part: device and peak, trainings, heads, and trainings by compiled steps.

    Args:
        folder: a place for the images and for what the runs leave.
    """
    small, workspace = _place_to_work(plan, folder)
    runs = make_plan(small, workspace.dataset_digest, CLASSES, int((~workspace.manifest.is_test).sum()))
    team = Team(worker_devices(plan.device, 1, 1) * max(plan.side_by_side), threads=1)
    found: dict[str, Any] = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "repeats": plan.repeats,
        "steps": plan.steps,
        "heads": {},
        "cells": [],
    }
    try:
        found["machine"] = _turns(team, partial(machine, plan.matrix), 1, 1)[0]
        yield found
        trainings = _trainings(runs)
        for cell in trainings:
            found["cells"].append(_measured(team, cell, workspace, plan))
            yield found
        work = partial(heads_both_ways, [run for run in runs if run.stage == "stored"], workspace)
        found["heads"] = _turns(team, work, 1, 1 + plan.repeats)[1:]
        yield found
        for cell in (cell for cell in trainings if cell.name in plan.compiled):
            found["cells"].append(_measured(team, replace(cell, compiled=True), workspace, plan))
            yield found
    finally:
        team.stop()


def _trainings(runs: Sequence[Run]) -> list[Cell]:
    """Return every backbone of the first seed, and the pairs of the fewest and of the most multiply-adds."""
    by_id = {run.run_id: run for run in runs if run.seed == 0}
    alone = [Cell(run, (), False) for run in by_id.values() if run.kind == "backbone"]
    joint = sorted((run for run in by_id.values() if run.stage == "joint"), key=lambda run: run.macs)
    pairs = [*joint[:1], *joint[1:][-1:]]
    return [*alone, *(Cell(run, [by_id[parent] for parent in run.parents], False) for run in pairs)]


def _turns(team: Team, work: Work, count: int, repeats: int) -> list[Any]:
    """Let the first process do `repeats` turns of a work; returns their results."""
    team.prepare(work)
    results = [team.turn(count)[0] for _ in range(repeats)]
    team.end_work()
    return results


def _measured(team: Team, cell: Cell, workspace: Workspace, plan: GpuPlan) -> dict[str, Any]:
    """Return a training's turns by the number of processes that did them at the same time."""
    team.prepare(partial(training, cell, workspace))
    turns: dict[str, list[Any]] = {str(count): [] for count in plan.side_by_side}
    for _ in range(plan.repeats):
        for count in plan.side_by_side:
            turns[str(count)].append(team.turn(count))
    team.end_work()
    run = cell.run
    return {
        "name": cell.name,
        "compiled": cell.compiled,
        "batch": run.hyperparameters["batch_size"],
        "macs": run.macs,
        "turns": turns,
    }


def machine(size: int, place: Place) -> None:
    """Tell what the device is, and the multiply-adds a second of a square bfloat16 product at its best."""
    left, right = torch.rand(2, size, size, device=place.device).bfloat16().unbind()
    seconds = []
    for _ in range(4):
        synchronise(place.device)
        started = time.perf_counter()
        for _ in range(10):
            torch.mm(left, right)
        synchronise(place.device)
        seconds.append((time.perf_counter() - started) / 10)
    found = {"torch": torch.__version__, "matrix": size, "peak_macs": size**3 / min(seconds)}
    place.turn(None)
    place.turn({**describe_device(place.device), **found})


def training(cell: Cell, workspace: Workspace, place: Place) -> None:
    """Train as the engine would, an epoch a turn; a failure is the result of every turn after it."""
    try:
        workspace = replace(workspace, device=place.device, checkpoint_seconds=math.inf, compiled=cell.compiled)
        if place.device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats(place.device)
        clock = _Clock(cell.run, workspace, place)
        logging.getLogger("benchmark.training").addHandler(clock)
        endless = stage_of(cell.run).model_copy(update={"epochs": 10**6})
        fit(_network(cell, workspace), clock.task, endless, execution_of(cell.run, workspace))
    except Exception as error:  # what cannot be measured must not end the rest
        while True:
            place.turn({"error": f"{type(error).__name__}: {error}"})
    finally:
        logging.getLogger("benchmark.training").handlers.clear()
        if cell.compiled:
            torch.compiler.reset()


def _network(cell: Cell, workspace: Workspace) -> nn.Module:
    precision = workspace.settings.precision
    if not cell.parents:
        return Logits(initial_backbone(cell.run, workspace), precision)
    backbones = [initial_backbone(parent, workspace) for parent in cell.parents]
    dims = [int(backbone.feature_dim) for backbone in backbones]  # type: ignore[arg-type]
    return EndToEnd(backbones, initial_fusion(cell.run, dims, workspace), precision)


class _Clock(logging.Handler):
    """A task that takes turns: every epoch but the first ones begins with a turn and is timed.

    `start` is the time until the first epoch of training has ended, with whatever was compiled for it; `notes` are
    what training warned of, as of steps that it does not compile.
    """

    def __init__(self, run: Run, workspace: Workspace, place: Place) -> None:
        super().__init__(logging.WARNING)
        self.inner = image_task(run, workspace)
        self.place, split = place, workspace.split(run.seed)
        self.images, self.looked_at = len(split.train), len(split.validation) + len(split.test)
        self.made = self.begun = time.perf_counter()
        self.result: dict[str, Any] = {}
        self.notes: list[str] = []
        self.task = replace(self.inner, batches=self.batches, evaluate=self.evaluate)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what training warns of."""
        self.notes.append(record.getMessage())

    def batches(self, epoch: int) -> Iterable[tuple[Any, Tensor]]:
        """Wait for the turn, then give the epoch's batches."""
        if epoch > WARM_EPOCHS:
            self.place.turn(self.result)
        self.begun = time.perf_counter()
        return self.inner.batches(epoch)

    def evaluate(self, network: nn.Module) -> Scores:
        """Note how long the epoch took, and how long its evaluation."""
        synchronise(self.place.device)
        trained = time.perf_counter()
        scores = self.inner.evaluate(network)
        ended = time.perf_counter()
        self.result = {
            "start": self.result.get("start", trained - self.made),
            "training": self.images / (trained - self.begun),
            "evaluation": self.looked_at / (ended - trained),
            "memory": peak_memory(self.place.device),
            **({"notes": self.notes} if self.notes else {}),
        }
        return scores


def _place_to_work(plan: GpuPlan, folder: Path) -> tuple[Settings, Workspace]:
    """Draw as many images as make `steps` batches of training, and return the settings and a workspace of them."""
    settings = plan.settings
    kept = plan.steps * settings.backbone_stage.batch_size / (1 - settings.data.validation_fraction)
    count = round(kept / (1 - TEST_SHARE))
    size = min(STORED, settings.data.image_size)
    file = folder / "images.npy"
    drawn = np.random.default_rng(0)
    np.save(file, drawn.integers(0, 256, (count, size, size, 3), dtype=np.uint8))
    names = tuple(str(number) for number in range(count))
    manifest = Manifest(
        dataset="synthetic",
        title="noise",
        classes=tuple(str(label) for label in range(CLASSES)),
        image_ids=names,
        files=tuple(Path(name) for name in names),
        labels=np.arange(count) % CLASSES,
        is_test=np.arange(count) >= round(kept),
        synthetic=True,
    )
    stage = settings.fusion_stage.model_copy(update={"epochs": plan.head_epochs})
    small = settings.model_copy(update={"fusion_stage": stage})
    return small, Workspace(small, manifest, "0" * 32, file, folder / "runs", plan.device)
