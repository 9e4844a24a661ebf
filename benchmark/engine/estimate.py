"""How long the runs of a plan will take and how much memory they need, from a calibration of a few seconds.

A process of its own trains every distinct network of the plan for a few steps on this device, as a worker would, and
tells its times and its memory. Its steps are of few images: what a whole batch takes is reckoned from what an image
takes. Where runs of the same kind are in the ledger already, their own times are used.
"""

from __future__ import annotations

import heapq
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from backbones import BranchOutput, build_backbone
from benchmark.engine.footprint import Footprint, measure, training_memory
from benchmark.engine.schedule import dear_first
from benchmark.engine.work import prepare_process
from benchmark.ledger import Record
from benchmark.plan import Run
from benchmark.training.backbone import branch_output, prepared
from benchmark.training.device import peak_memory, synchronise
from benchmark.training.images import evaluation_batch
from benchmark.training.workspace import Workspace
from fusion_methods import build_fusion

STEP_MACS = 1e10  # multiply-adds that a calibrating step may cost: a fraction of a second on one core
STEPS = 3


@dataclass(frozen=True)
class Estimate:
    """What is to be expected: seconds until the last run ends, and the most bytes that all workers hold together.

    `disk` is what the weights that the runs leave will take, in bytes. `calibrated` is how many runs were estimated
    from calibration, the others from runs like them in the ledger.
    """

    seconds: float
    memory: int
    disk: int
    calibrated: int


@dataclass(frozen=True)
class Head:
    """What a fusion head on stored outputs costs: seconds of a step, and bytes that its branches' outputs take."""

    seconds: float
    outputs: int


@dataclass(frozen=True)
class Rates:
    """What runs cost.

    Attributes:
        training, evaluation: seconds for one image, by backbone.
        footprints: memory, by backbone.
        heads: by method and backbones.
        base: peak of the process that measured all this with few images at a time, in bytes.
    """

    training: dict[str, float]
    evaluation: dict[str, float]
    footprints: dict[str, Footprint]
    heads: dict[tuple[str, tuple[str, ...]], Head]
    base: int


def estimate(
    runs: Sequence[Run], finished: Sequence[Record], workspace: Workspace, workers: int, plugins: Sequence[Path]
) -> Estimate:
    """Estimate the runs that are to do.

    Args:
        finished: records of the same experiment.
        workers: processes that will work side by side.
    """
    known: dict[tuple[str | None, tuple[str, ...], str], list[float]] = {}
    for record in finished:
        known.setdefault((record.method, tuple(record.backbones), record.kind), []).append(record.seconds)
    rates = _calibrated(runs, workspace, plugins)
    times, calibrated = [], 0
    memory = heapq.nlargest(workers, (_memory(run, rates, workspace) for run in runs))
    for run in sorted(runs, key=dear_first):
        alike = known.get((run.method, run.backbones, run.kind))
        calibrated += alike is None
        times.append(statistics.fmean(alike) if alike else _seconds(run, rates, workspace))
    return Estimate(_makespan(times, workers), round(sum(memory)), weights_on_disk(runs), calibrated)


def weights_on_disk(runs: Sequence[Run]) -> int:
    """Return the bytes of float32 weights that backbones and end-to-end runs leave; other heads' are no matter."""
    return sum(4 * run.parameters for run in runs if run.stage in ("backbone", "joint"))


def _makespan(times: Sequence[float], workers: int) -> float:
    """Return when the last of these runs ends if every free worker takes the next one."""
    free = [0.0] * workers
    for seconds in times:
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return max(free)


def _seconds(run: Run, rates: Rates, workspace: Workspace) -> float:
    split = workspace.split(run.seed)
    epochs, looked_at = int(run.hyperparameters["epochs"]), len(split.validation) + len(split.test)
    if run.stage in ("backbone", "joint"):
        training = sum(rates.training[name] for name in run.backbones)
        evaluation = sum(rates.evaluation[name] for name in run.backbones)
        outputs = evaluation * len(workspace.manifest) * (run.stage == "backbone")
        return epochs * (len(split.train) * training + looked_at * evaluation) + outputs
    steps = len(split.train) / int(run.hyperparameters["batch_size"])
    return epochs * steps * run.folds * rates.heads[str(run.method), run.backbones].seconds


def _memory(run: Run, rates: Rates, workspace: Workspace) -> float:
    """Return the most bytes that the process of a run holds."""
    if run.stage not in ("backbone", "joint"):
        return rates.base + run.folds * rates.heads[str(run.method), run.backbones].outputs
    batch = int(run.hyperparameters["batch_size"])
    evaluated = batch if run.stage == "joint" else evaluation_batch(workspace)
    at_once = workspace.micro_batches.get(run.run_id, batch)
    return rates.base + training_memory((rates.footprints[name] for name in run.backbones), at_once, evaluated)


def _calibrated(runs: Sequence[Run], workspace: Workspace, plugins: Sequence[Path]) -> Rates:
    """Measure in a fresh process, so that its peak memory is that of a worker before its batches."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_calibrate, (list(runs), workspace, tuple(plugins)))


def _calibrate(runs: list[Run], workspace: Workspace, plugins: tuple[Path, ...]) -> Rates:
    prepare_process(workspace.device, False, plugins)
    training: dict[str, float] = {}
    evaluation: dict[str, float] = {}
    footprints: dict[str, Footprint] = {}
    shapes: dict[str, BranchOutput] = {}
    heads: dict[tuple[str, tuple[str, ...]], Head] = {}
    by_shape: dict[tuple[object, ...], Head] = {}
    for run in runs:
        for name in run.backbones:
            if name not in shapes:
                training[name], evaluation[name], footprints[name], shapes[name] = _try_backbone(name, run, workspace)
    for run in runs:
        cell = (str(run.method), run.backbones)
        if run.stage in ("stored", "cross-fitted") and cell not in heads:
            branches = [shapes[name] for name in run.backbones]
            shape = (cell[0], *(x.shape for branch in branches for x in branch if x is not None))
            if shape not in by_shape:
                by_shape[shape] = _try_head(run, branches, workspace)
            heads[cell] = by_shape[shape]
    return Rates(training, evaluation, footprints, heads, peak_memory(workspace.device))


def _try_backbone(name: str, run: Run, workspace: Workspace) -> tuple[float, float, Footprint, BranchOutput]:
    """Return seconds an image in training and in evaluation, its memory, and its output as a pattern of shapes."""
    macs = run.macs if run.method is None else run.macs / len(run.backbones)
    batch = int(min(run.hyperparameters["batch_size"], max(2, STEP_MACS / (3 * macs))))
    rows = workspace.split(run.seed).train[:batch]
    network = prepared(build_backbone(name, len(workspace.manifest.classes)), workspace.device)
    precision = workspace.settings.precision
    images = workspace.network_input(rows)
    labels = workspace.labels[torch.from_numpy(rows).to(workspace.device)]
    optimizer = torch.optim.Adam(network.parameters(), fused=True)

    def loss() -> Tensor:
        return F.cross_entropy(branch_output(network, images, precision).logits, labels)

    def learn() -> None:
        found = loss()
        optimizer.zero_grad(set_to_none=True)
        found.backward()
        optimizer.step()

    training = _time_of(learn, workspace.device) / len(rows)
    footprint = measure(network, loss, len(rows))
    network.eval()
    with torch.inference_mode():
        evaluation = _time_of(lambda: branch_output(network, images, precision), workspace.device) / len(rows)
        pattern = network(images[:1])
    return training, evaluation, footprint, pattern


def _try_head(run: Run, branches: Sequence[BranchOutput], workspace: Workspace) -> Head:
    """Return what a fusion head costs, from training steps on random outputs of its branches."""
    batch, classes = int(run.hyperparameters["batch_size"]), len(workspace.manifest.classes)
    dims = tuple(branch.features.shape[1] for branch in branches)
    head = build_fusion(str(run.method), dims, classes).to(workspace.device)
    read = [x for b in branches for x in (b.features, b.logits, b.maps if getattr(head, "uses_maps", False) else None)]
    outputs = len(workspace.manifest) * sum(x.nbytes for x in read if x is not None)
    if not any(True for _ in head.parameters()):
        return Head(0.0, outputs)
    inputs = [_random_like(branch, batch) for branch in branches]
    labels = torch.zeros(batch, dtype=torch.long, device=workspace.device)
    optimizer = torch.optim.Adam(head.parameters(), fused=True)

    def learn() -> None:
        loss = F.cross_entropy(head(inputs), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return Head(_time_of(learn, workspace.device), outputs)


def _random_like(branch: BranchOutput, batch: int) -> BranchOutput:
    """Return random outputs of a batch, shaped as one image's are."""
    features, logits, maps = branch
    return BranchOutput(
        features.new_empty(batch, *features.shape[1:]).uniform_(),
        logits.new_empty(batch, *logits.shape[1:]).uniform_(),
        None if maps is None else maps.new_empty(batch, *maps.shape[1:]).uniform_(),
    )


def _time_of(step: Callable[[], object], device: str) -> float:
    """Return the median seconds of a step, the first one left out."""
    found = []
    for _ in range(1 + STEPS):
        started = time.perf_counter()
        step()
        synchronise(device)
        found.append(time.perf_counter() - started)
    return float(np.median(found[1:]))
