"""How long the runs of a plan will take and how much memory they need, from a calibration of a few seconds.

A process of its own trains every distinct network of the plan for a few steps on this device, as a worker would, and
tells its times and its peak memory. Where runs of the same kind are in the ledger already, their own times are used.
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

from backbones import BranchOutput, build_backbone
from benchmark.engine.schedule import dear_first
from benchmark.engine.work import prepare_process
from benchmark.ledger import Record
from benchmark.plan import Run
from benchmark.training.backbone import branch_output
from benchmark.training.device import peak_memory, synchronise
from benchmark.training.workspace import Workspace
from fusion_methods import build_fusion

STEP_MACS = 1e10  # multiply-adds that a calibrating step may cost: a fraction of a second on one core
STEPS = 3


@dataclass(frozen=True)
class Estimate:
    """What is to be expected: seconds until the last run ends, and bytes held by all workers together.

    `calibrated` is how many runs were estimated from calibration, the others from runs like them in the ledger.
    """

    seconds: float
    memory: int
    calibrated: int


@dataclass(frozen=True)
class Rates:
    """Seconds that one image costs, by backbone, in training and in evaluation; seconds of a step of a fusion head.

    `memory` is the peak of the process that measured it, in bytes.
    """

    training: dict[str, float]
    evaluation: dict[str, float]
    heads: dict[tuple[str, tuple[str, ...]], float]
    memory: int


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
    for run in sorted(runs, key=dear_first):
        alike = known.get((run.method, run.backbones, run.kind))
        calibrated += alike is None
        times.append(statistics.fmean(alike) if alike else _seconds(run, rates, workspace))
    return Estimate(_makespan(times, workers), rates.memory * min(workers, len(runs)), calibrated)


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
    folds = len(run.parents) // len(run.backbones)
    return epochs * steps * folds * rates.heads[str(run.method), run.backbones]


def _calibrated(runs: Sequence[Run], workspace: Workspace, plugins: Sequence[Path]) -> Rates:
    """Measure in a fresh process, so that its peak memory is that of a worker."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_calibrate, (list(runs), workspace, tuple(plugins)))


def _calibrate(runs: list[Run], workspace: Workspace, plugins: tuple[Path, ...]) -> Rates:
    prepare_process(workspace.device, False, plugins)
    training: dict[str, float] = {}
    evaluation: dict[str, float] = {}
    shapes: dict[str, BranchOutput] = {}
    heads: dict[tuple[str, tuple[str, ...]], float] = {}
    by_shape: dict[tuple[object, ...], float] = {}
    for run in runs:
        for name in run.backbones:
            if name not in shapes:
                training[name], evaluation[name], shapes[name] = _time_backbone(name, run, workspace)
    for run in runs:
        cell = (str(run.method), run.backbones)
        if run.stage in ("stored", "cross-fitted") and cell not in heads:
            branches = [shapes[name] for name in run.backbones]
            shape = (cell[0], *(x.shape for branch in branches for x in branch if x is not None))
            if shape not in by_shape:
                by_shape[shape] = _time_head(run, branches, workspace)
            heads[cell] = by_shape[shape]
    return Rates(training, evaluation, heads, peak_memory(workspace.device))


def _time_backbone(name: str, run: Run, workspace: Workspace) -> tuple[float, float, BranchOutput]:
    """Return seconds an image in training and in evaluation, and one image's output as a pattern of shapes."""
    macs = run.macs if run.method is None else run.macs / len(run.backbones)
    batch = int(min(run.hyperparameters["batch_size"], max(2, STEP_MACS / (3 * macs))))
    rows = workspace.split(run.seed).train[:batch]
    network = build_backbone(name, len(workspace.manifest.classes)).to(workspace.device)
    network = network.to(memory_format=run.memory_format)
    precision = workspace.settings.precision
    seen = workspace.network_input(rows)
    images = seen.contiguous(memory_format=run.memory_format)
    labels = workspace.labels[torch.from_numpy(rows).to(workspace.device)]
    optimizer = torch.optim.Adam(network.parameters(), fused=True)

    def learn() -> None:
        loss = F.cross_entropy(branch_output(network, images, precision).logits, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    training = _time_of(learn, workspace.device) / len(rows)
    network.eval()
    with torch.inference_mode():
        evaluation = _time_of(lambda: branch_output(network, seen, precision), workspace.device) / len(rows)
        pattern = network(images[:1])
    return training, evaluation, pattern


def _time_head(run: Run, branches: Sequence[BranchOutput], workspace: Workspace) -> float:
    """Return the seconds of one training step of a fusion head on random outputs of its branches."""
    batch, classes = int(run.hyperparameters["batch_size"]), len(workspace.manifest.classes)
    dims = tuple(branch.features.shape[1] for branch in branches)
    head = build_fusion(str(run.method), dims, classes).to(workspace.device)
    if not any(True for _ in head.parameters()):
        return 0.0
    inputs = [_random_like(branch, batch) for branch in branches]
    labels = torch.zeros(batch, dtype=torch.long, device=workspace.device)
    optimizer = torch.optim.Adam(head.parameters(), fused=True)

    def learn() -> None:
        loss = F.cross_entropy(head(inputs), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return _time_of(learn, workspace.device)


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
