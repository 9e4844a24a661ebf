"""What runs cost on this device, from a few steps of every distinct network and head, in processes of their own.

As many processes measure at the same time as will share the device, each at a run's own batch and image size: they
share a GPU's time, or the bandwidth of a CPU's memory. Heads that a GPU would train in a stack are measured in one. On
a CPU a step may be of fewer images, and when the time is over what is left is scaled by multiply-adds from what was
measured.
"""

from __future__ import annotations

import math
import multiprocessing
import statistics
import time
from collections.abc import Callable, MutableSequence, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import BrokenBarrierError
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import BranchOutput, build_backbone, split_replicate
from backbones.shapes import build_without_memory, look_at_image
from benchmark.config import UserError
from benchmark.engine.costs import Costs, HeadCost, NetworkCost, footprint_of, mean_of
from benchmark.engine.work import LARGEST_STACK, pays, prepare_process
from benchmark.plan import Run
from benchmark.plugins import blaming
from benchmark.training.backbone import branch_output, prepared
from benchmark.training.device import peak_memory, synchronise
from benchmark.training.fusion import initial_fusion
from benchmark.training.images import evaluation_batch
from benchmark.training.stacked import Stack, stackable
from benchmark.training.workspace import Workspace

SECONDS = 20.0  # that calibrating takes on a CPU, the start of its processes included
NETWORKS_SHARE = 0.7  # of them; the rest is for heads
STEP_MACS = 1e10  # multiply-adds that a calibrating step may cost on a CPU: a fraction of a second on one core
STEPS = 3
LONG = 1.0  # seconds of a first step that is believed without another


def calibrated(runs: Sequence[Run], workspace: Workspace, sharing: int, plugins: Sequence[Path]) -> Costs:
    """Measure in `sharing` fresh processes at the same time, the base being that of a worker before its first run.

    Raises:
        UserError: the device's memory does not hold what the processes measure.
    """
    until = math.inf if workspace.device.startswith("cuda") else time.monotonic() + SECONDS
    context = multiprocessing.get_context("spawn")
    together: Any = (context.Barrier(sharing), context.RawArray("b", sharing))
    work = (list(runs), workspace, tuple(plugins), until)
    with ProcessPoolExecutor(sharing, context, initializer=_meet_at, initargs=together) as pool:
        measuring = [pool.submit(_calibrate_or_say_why_not, *work) for _ in range(sharing)]
        try:
            costs = [one for future in measuring if (one := future.result()) is not None]
        except BrokenProcessPool:  # the system ended one of them, as it does where memory is short
            costs = []
    if len(costs) < sharing:
        raise UserError(
            f"{workspace.device} has not enough memory to calibrate in {sharing} process{'es' if sharing > 1 else ''}; "
            "take fewer workers, or list the runs alone by --no-estimate"
        )
    return mean_of(costs)


def _calibrate_or_say_why_not(*work: Any) -> Costs | None:
    """Calibrate; None where the memory does not suffice, here or in another process, which nobody then waits for."""
    try:
        return _calibrate(*work)
    except Exception as error:
        _Clock.barrier.abort()
        if isinstance(error, torch.OutOfMemoryError | BrokenBarrierError):
            return None
        raise


def _meet_at(barrier: Barrier, votes: MutableSequence[int]) -> None:
    """Let all processes begin each measurement together, and decide together whether to make it."""
    _Clock.barrier, _Clock.votes = barrier, votes


class _Clock:
    """Time steps until the time is over, and scale after it."""

    barrier: ClassVar[Barrier]
    votes: ClassVar[MutableSequence[int]]  # of every process, whether it has the time

    def __init__(self, device: str, until: float) -> None:
        self.device, self.until = device, until
        self.last: tuple[str, float] | None = None  # what was measured last, and its seconds for a unit of work

    def allows(self, work: float) -> bool:
        """Tell whether every process has the time for so much work: all measure it, or none waits for another."""
        mine = self._has_time_for(work)
        place = self.barrier.wait()
        self.votes[place] = mine
        self.barrier.wait()
        return all(self.votes)

    def _has_time_for(self, work: float) -> bool:
        """Tell whether work can be timed at the rate of what was measured last; the first always can."""
        if self.last is None:
            return True
        seconds = work * self.last[1]
        return time.monotonic() + (seconds if seconds > LONG else (1 + STEPS) * seconds) < self.until

    def time_of(self, step: Callable[[], object]) -> float:
        """Return the median seconds of a few steps, the first one left out unless it takes long."""
        self.barrier.wait()
        first = self._once(step)
        if first > LONG and self.until < math.inf:
            return first
        return statistics.median(self._once(step) for _ in range(STEPS))

    def _once(self, step: Callable[[], object]) -> float:
        started = time.perf_counter()
        step()
        synchronise(self.device)
        return time.perf_counter() - started


def _calibrate(runs: Sequence[Run], workspace: Workspace, plugins: tuple[Path, ...], until: float) -> Costs:
    prepare_process(workspace.device, False, plugins)
    workspace.network_input(workspace.split(0).train[:1])  # the images are there, as in a worker
    base = peak_memory(workspace.device)
    with blaming("a step of training fails"):
        networks, shapes = _networks(runs, workspace, _Clock(workspace.device, until - (1 - NETWORKS_SHARE) * SECONDS))
        heads = _heads(runs, shapes, workspace, _Clock(workspace.device, until))
    return Costs(networks, heads, base)


def _networks(
    runs: Sequence[Run], workspace: Workspace, clock: _Clock
) -> tuple[dict[str, NetworkCost], dict[str, BranchOutput]]:
    """Return costs and an image's output by backbone, copies of a network being alike; cheapest first."""
    size, classes = workspace.settings.data.image_size, len(workspace.manifest.classes)
    of_name = {split_replicate(name)[0]: run for run in runs for name in run.backbones}
    looks = {name: look_at_image(build_without_memory(name, classes), name, size) for name in of_name}
    costs: dict[str, NetworkCost] = {}
    for name in sorted(of_name, key=lambda name: looks[name][1]):
        network = prepared(build_backbone(name, classes), workspace.device)
        footprint = footprint_of(network, size, workspace.settings.precision)
        batch, macs = int(of_name[name].hyperparameters["batch_size"]), looks[name][1]
        if clock.until < math.inf:
            batch = int(min(batch, max(2, STEP_MACS / (3 * macs))))
        if clock.allows(4 * macs * batch):  # forward, twice as much backward, and forward in evaluation
            training, evaluation = _try_network(network, batch, workspace, clock)
            clock.last = name, training / (3 * macs)
            scaled_from = ""
        else:
            assert clock.last is not None
            known, scale = costs[clock.last[0]], macs / looks[clock.last[0]][1]
            training, evaluation, scaled_from = known.training * scale, known.evaluation * scale, clock.last[0]
        output, maps = (
            4 * sum(x.numel() for x in part if x is not None) for part in (looks[name][0][:2], looks[name][0][2:])
        )
        costs[name] = NetworkCost(training, evaluation, footprint, output, maps, scaled_from)
    return costs, {name: output for name, (output, _) in looks.items()}


def _try_network(network: nn.Module, batch: int, workspace: Workspace, clock: _Clock) -> tuple[float, float]:
    """Return seconds an image in training and in evaluation."""
    precision = workspace.settings.precision
    train = workspace.split(0).train
    rows = np.resize(train, batch)
    images, labels = workspace.network_input(rows), workspace.labels[workspace.on_device(rows)]
    optimizer = torch.optim.Adam(network.parameters(), fused=True)

    def learn() -> None:
        loss = F.cross_entropy(branch_output(network, images, precision).logits, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    training = clock.time_of(learn) / batch
    looked_at = (
        images if clock.until < math.inf else workspace.network_input(np.resize(train, evaluation_batch(workspace)))
    )
    network.eval()
    with torch.inference_mode():
        evaluation = clock.time_of(lambda: branch_output(network, looked_at, precision)) / len(looked_at)
    return training, evaluation


def _heads(
    runs: Sequence[Run], shapes: dict[str, BranchOutput], workspace: Workspace, clock: _Clock
) -> dict[tuple[str, tuple[str, ...]], HeadCost]:
    """Return what heads cost by method and backbones; those of one method on branches of the same shapes are alike."""
    alike: dict[tuple[Any, ...], list[Run]] = {}
    for run in (run for run in runs if run.stage in ("stored", "cross-fitted")):
        branches = [shapes[split_replicate(name)[0]] for name in run.backbones]
        alike.setdefault((run.method, *(x.shape for b in branches for x in b if x is not None)), []).append(run)
    costs: dict[tuple[str, tuple[str, ...]], HeadCost] = {}
    for same in sorted(alike.values(), key=lambda same: same[0].cost):
        branches = [shapes[split_replicate(name)[0]] for name in same[0].backbones]
        cost = _try_head(same, branches, workspace, clock)
        costs |= {(str(one.method), one.backbones): cost for one in same}
    return costs


def _try_head(same: Sequence[Run], branches: Sequence[BranchOutput], workspace: Workspace, clock: _Clock) -> HeadCost:
    """Return what a head costs from steps on random outputs, in a stack of all runs like it where they would be one."""
    run, dims = same[0], [branch.features.shape[1] for branch in branches]
    head = initial_fusion(run, dims, workspace)
    maps = bool(getattr(head, "uses_maps", False))
    members = min(len(same), LARGEST_STACK) if pays(workspace.device) and stackable(run, head) else 1
    read = [x for branch in branches for x in (branch.features, branch.logits, branch.maps if maps else None)]
    held = len({parent for one in same[:members] for parent in one.parents}) / len(branches)
    size = HeadCost(
        training=0.0,
        evaluation=0.0,
        outputs=round(held * len(workspace.manifest) * sum(4 * x.numel() for x in read if x is not None)),
        parameters=sum(parameter.numel() for parameter in head.parameters()),
        maps=maps,
    )
    if not size.parameters:
        return size
    if not clock.allows(run.cost / run.folds):
        assert clock.last is not None
        return replace(size, training=clock.last[1] * run.cost / run.folds, scaled_from=clock.last[0])
    training, evaluation = _steps_in_stack(head, branches, (members, run), workspace, clock)
    clock.last = str(run.method), training / (run.cost / run.folds)
    return replace(size, training=training, evaluation=evaluation)


def _steps_in_stack(
    head: nn.Module, branches: Sequence[BranchOutput], stack: tuple[int, Run], workspace: Workspace, clock: _Clock
) -> tuple[float, float]:
    """Return seconds of a step and of an evaluated batch, of one head's share where its stack works."""
    members, run = stack
    if members > 1:
        with suppress(Exception):  # whatever it is, such heads are trained alone
            heads = [initial_fusion(run, [b.features.shape[1] for b in branches], workspace) for _ in range(members)]
            training, evaluation = _steps_of(Stack(heads), branches, stack, workspace, clock)
            return training / members, evaluation / members
    return _steps_of(head, branches, (1, run), workspace, clock)


def _steps_of(
    network: nn.Module,
    branches: Sequence[BranchOutput],
    stack: tuple[int, Run],
    workspace: Workspace,
    clock: _Clock,
) -> tuple[float, float]:
    """Return seconds of a step and of an evaluated batch, of all members of a stack together."""
    members, run = stack
    batch = int(run.hyperparameters["batch_size"])
    lead = (members, batch) if members > 1 else (batch,)

    def drawn(x: Tensor) -> Tensor:
        return torch.rand(*lead, *x.shape[1:], device=workspace.device)

    inputs = [
        BranchOutput(drawn(b.features), drawn(b.logits), None if b.maps is None else drawn(b.maps)) for b in branches
    ]
    labels = torch.zeros(members * batch, dtype=torch.long, device=workspace.device)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)

    def learn() -> None:
        loss = F.cross_entropy(network(inputs).flatten(0, -2), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    training = clock.time_of(learn)
    network.eval()
    with torch.inference_mode():
        return training, clock.time_of(lambda: network(inputs))
