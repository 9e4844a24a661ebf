"""A stage kept between epochs, so that a killed run goes on where it was and ends with the same numbers.

The order of batches and the augmentation derive from seed, stage and epoch, so the number of the last complete epoch
is all that is kept of them. Beside it: the network, the optimizer, the schedule, torch's generators, and what the
selection rules have taken so far.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.ledger import artifact_folder
from benchmark.ledger.claims import note_epoch
from benchmark.plan import Run
from benchmark.training.checkpoint import DamagedError, load_with_notes, save_tensors
from benchmark.training.fit import Execution, Learning
from benchmark.training.workspace import Workspace

CHECKPOINT = "checkpoint.safetensors"
LARGEST_SHARE = 0.01  # of the time, for writing checkpoints


def checkpoint_path(experiment: Path, run_id: str) -> Path:
    """Return the file in which a run is kept between epochs."""
    return artifact_folder(experiment, run_id) / CHECKPOINT


def execution_of(run: Run, workspace: Workspace) -> Execution:
    """Return how this machine gets through a run's stage."""
    micro_batch = workspace.micro_batches.get(run.run_id)
    identity = {
        "code": workspace.code,
        "torch": torch.__version__,
        "device": torch.device(workspace.device).type,
        "micro_batch": micro_batch,
    }
    path = checkpoint_path(workspace.experiment, run.run_id)
    on_images = run.stage in ("backbone", "joint")
    return Execution(
        EpochCheckpoint(path, workspace.checkpoint_seconds, identity),
        micro_batch,
        workspace.compiled and on_images,
        partial(note_epoch, workspace.experiment, run.run_id),
    )


class EpochCheckpoint:
    """Keep a stage in one file, at most every so many seconds, so that short runs pay nothing.

    Writing takes at most a hundredth of the time, unless a stage is to be kept after every epoch (`seconds_apart` 0).

    A file that is damaged, or that other code, another torch or another kind of device left, is not used.
    """

    def __init__(self, path: Path, seconds_apart: float, identity: dict[str, Any]) -> None:
        self.path, self.seconds_apart = path, seconds_apart
        self.identity = json.dumps(identity, sort_keys=True)
        self.started = self.last = time.monotonic()
        self.took = 0.0

    def restore(self, learning: Learning) -> None:
        """Set a stage to the epoch that is kept."""
        try:
            tensors, notes = load_with_notes(self.path)
        except DamagedError:
            return
        if notes["identity"] == self.identity:
            _unpack(learning, tensors, json.loads(notes["state"]))

    def offer(self, learning: Learning) -> None:
        """Write a stage to the file, if the last time is long enough ago."""
        now = time.monotonic()
        if self.seconds_apart and now - self.last < max(self.seconds_apart, self.took / LARGEST_SHARE):
            return
        seconds = learning.outcome.seconds_before + now - self.started
        state = json.dumps({**_state(learning), "seconds": seconds})
        save_tensors(dict(_tensors(learning)), self.path, {"identity": self.identity, "state": state})
        self.last = time.monotonic()
        self.took = self.last - now


def _tensors(learning: Learning) -> Iterator[tuple[str, Tensor]]:
    for name, value in learning.network.state_dict().items():
        yield f"network/{name}", value
    for name, value in learning.outcome.state.items():
        yield f"selected/{name}", value
    for rule, epoch in learning.outcome.epochs.items():
        for split, logits in learning.outcome.logits[rule].items():
            yield f"logits/{epoch}/{split}", torch.from_numpy(logits)
    for index, moments in learning.optimizer.state_dict()["state"].items():
        for name, value in moments.items():
            yield f"optimizer/{index}/{name}", value
    yield "generator/cpu", torch.get_rng_state()
    if (device := _device_of(learning.network)).type == "cuda":
        yield "generator/cuda", torch.cuda.get_rng_state(device)


def _state(learning: Learning) -> dict[str, Any]:
    schedule = {name: value for name, value in learning.schedule.state_dict().items() if name != "lr_lambdas"}
    return {
        "epoch": learning.epoch,
        "best": learning.best,
        "epochs": learning.outcome.epochs,
        "history": learning.outcome.history,
        "schedule": schedule,
        "groups": learning.optimizer.state_dict()["param_groups"],
    }


def _unpack(learning: Learning, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    learning.epoch = state["epoch"]
    learning.best = {rule: (rank[0], rank[1]) for rule, rank in state["best"].items()}
    outcome = learning.outcome
    outcome.epochs, outcome.history = state["epochs"], state["history"]
    outcome.seconds_before = state["seconds"]
    outcome.state = _below(tensors, "selected")
    outcome.logits = {
        rule: {split: logits.numpy() for split, logits in _below(tensors, f"logits/{epoch}").items()}
        for rule, epoch in outcome.epochs.items()
    }
    learning.network.load_state_dict(_below(tensors, "network"))
    learning.schedule.load_state_dict({**state["schedule"], "lr_lambdas": [None]})
    _set_optimizer(learning.optimizer, _below(tensors, "optimizer"), state["groups"])
    torch.set_rng_state(tensors["generator/cpu"])
    if "generator/cuda" in tensors:  # of the GPU that the network was on; it may be another one now
        torch.cuda.set_rng_state(tensors["generator/cuda"], _device_of(learning.network))


def _set_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], groups: list[dict[str, Any]]) -> None:
    """Restore moments in the memory layout of their parameters, as a fused step reads both in one order."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for path, value in tensors.items():
        index, _, name = path.partition("/")
        moments.setdefault(int(index), {})[name] = _laid_out_like(value, parameters[int(index)])
    optimizer.load_state_dict({"state": moments, "param_groups": groups})


def _laid_out_like(value: Tensor, parameter: nn.Parameter) -> Tensor:
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value


def _below(tensors: dict[str, Tensor], folder: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{folder}/"): value for name, value in tensors.items() if name.startswith(f"{folder}/")}


def _device_of(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
