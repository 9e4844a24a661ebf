"""Fusion heads trained as one stack against the same heads trained one after the other, on outputs drawn at random."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from backbones.shapes import build_without_memory
from benchmark.bench.sides import Place
from benchmark.ledger import artifact_folder
from benchmark.plan import Run
from benchmark.training import train
from benchmark.training.backbone import OUTPUTS
from benchmark.training.checkpoint import save_tensors
from benchmark.training.device import synchronise
from benchmark.training.stacked import stacks, train_together
from benchmark.training.workspace import Workspace

ALONE = 4  # heads that are trained one after the other to know the rate of any number

HeadRates = dict[str, dict[str, float]]


def heads_both_ways(runs: Sequence[Run], workspace: Workspace, place: Place) -> None:
    """Train the heads of `runs`, turn by turn: method -> training images of all its heads a second, stacked and alone.

    `stacked` is missing where a method's heads cannot be stacked; `heads` is how many the stack holds.
    """
    workspace = replace(workspace, device=place.device, checkpoint_seconds=math.inf)
    _write_outputs(runs, workspace)
    by_method: dict[str, list[Run]] = {}
    for run in runs:
        by_method.setdefault(str(run.method), []).append(run)
    rates: HeadRates = {}
    while True:
        place.turn(rates)
        found = {method: _rates(alike, workspace) for method, alike in by_method.items()}
        rates = {method: own for method, own in found.items() if own}


def _rates(runs: Sequence[Run], workspace: Workspace) -> dict[str, float]:
    """Return the rates of one method's heads; nothing where they have nothing to train."""
    seen = len(workspace.split(0).train) * int(runs[0].hyperparameters["epochs"])
    started = time.perf_counter()
    outcomes = [train(run, workspace) for run in runs[:ALONE]]
    synchronise(workspace.device)
    alone = min(len(runs), ALONE) * seen / (time.perf_counter() - started)
    if outcomes[0].epochs["last_epoch"] == 0:
        return {}
    try:
        started = time.perf_counter()
        members = max(stacks(runs, workspace), key=len, default=[])
        if len(members) < 2:
            return {"alone": alone}
        train_together(members, workspace)
        synchronise(workspace.device)
    except Exception:  # the engine trains such heads alone
        return {"alone": alone}
    return {"alone": alone, "stacked": len(members) * seen / (time.perf_counter() - started), "heads": len(members)}


def _write_outputs(runs: Sequence[Run], workspace: Workspace) -> None:
    """Leave random outputs of every backbone that the runs start from, as its own run would leave them."""
    images, classes = len(workspace.manifest), len(workspace.manifest.classes)
    specs = {parent: spec for run in runs for parent, spec in zip(run.parents, run.backbones, strict=True)}
    dims = {spec: int(build_without_memory(spec, classes).feature_dim) for spec in set(specs.values())}  # type: ignore[arg-type]
    drawn = torch.Generator().manual_seed(0)
    for parent, spec in specs.items():
        outputs = {
            "features": torch.rand(images, dims[spec], generator=drawn),
            "logits": torch.randn(images, classes, generator=drawn),
        }
        save_tensors(outputs, artifact_folder(workspace.experiment, parent) / OUTPUTS)
