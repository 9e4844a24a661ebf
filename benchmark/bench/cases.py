"""The work that is timed: the suite's way and the plain way of each.

The suite works as its engine does: on a CPU in one process of one thread for each core. The plain way is one process
with as many threads, and as many processes again that prepare its images.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from backbones import build_backbone
from benchmark.bench.plain import PlainTraining
from benchmark.bench.setup import Setup
from benchmark.bench.sides import Case, Done, Once, Side
from benchmark.ledger import artifact_folder
from benchmark.plan import Run
from benchmark.training import train
from benchmark.training.backbone import OUTPUTS, WEIGHTS, Logits, initial_backbone
from benchmark.training.checkpoint import save_tensors, stage_of
from benchmark.training.device import synchronise
from benchmark.training.fit import fit
from benchmark.training.fusion import initial_fusion
from benchmark.training.images import image_task
from benchmark.training.resume import checkpoint_path

PASSES = 4  # over the training images in one turn of the data path, which is over quickly


def cases(setup: Setup) -> list[Case]:
    """Return what the bench compares."""
    fast, plain = setup.workers, setup.cores
    first = [run.backbones[0] for run in setup.plan if run.kind == "backbone" and run.seed == 0]
    training = [
        Case(
            f"stage 1, {name}",
            "images",
            Side(partial(fast_epoch, name), fast),
            Side(partial(plain_epoch, name), 1, plain),
        )
        for name in first
    ]
    note = "plain: one seed and one epoch of each pair and method, times seeds and epochs"
    return [
        Case("data path", "images", Side(fast_images, fast), Side(plain_images, 1, plain)),
        *training,
        Case("fusion stage", "runs", Side(fast_fusion, fast), Side(plain_fusion, 1, plain), note),
    ]


def fast_images(setup: Setup, number: int, _: int) -> Once:
    """Prepare a process's own epochs of augmented images in batches, from the array in memory."""
    workspace, run = setup.workspace, _backbone_run(setup, setup.settings.backbones[0])
    rows = workspace.split(run.seed).train

    def once() -> Done:
        for epoch in range(PASSES):
            for images, _ in workspace.image_batches(run, rows, number * PASSES + epoch):
                assert images.shape[1] == 3
        synchronise(setup.device)
        return Done(PASSES * len(rows))

    return once


def plain_images(setup: Setup, _: int, __: int) -> Once:
    """Prepare epochs of augmented images one by one from their files, in a DataLoader."""
    loader = PlainTraining(setup.workspace, 0, setup.settings.backbone_stage, setup.cores).train

    def once() -> Done:
        count = 0
        for _ in range(PASSES):
            for images, _ in loader:
                count += len(images.to(setup.device))
        synchronise(setup.device)
        return Done(count)

    return once


def fast_epoch(backbone: str, setup: Setup, _: int, __: int) -> Once:
    """Train a backbone for an epoch and evaluate it, by stage 1 itself."""
    setup = setup.with_settings(backbone_stage=setup.settings.backbone_stage.model_copy(update={"epochs": 1}))
    run = _backbone_run(setup, backbone)
    images = len(setup.workspace.split(run.seed).train)
    network = Logits(initial_backbone(run, setup.workspace), setup.settings.precision)

    def once() -> Done:
        fit(network, image_task(run, setup.workspace), stage_of(run))
        synchronise(setup.device)
        return Done(images)

    return once


def plain_epoch(backbone: str, setup: Setup, _: int, __: int) -> Once:
    """Train a backbone for an epoch and evaluate it, the plain way."""
    training = PlainTraining(setup.workspace, 0, setup.settings.backbone_stage, setup.cores)
    network = Logits(build_backbone(backbone, len(setup.workspace.manifest.classes)), "float32").to(setup.device)
    images = len(setup.workspace.split(0).train)

    def once() -> Done:
        training.epochs(network, 1)
        return Done(images)

    return once


def fast_fusion(setup: Setup, number: int, count: int) -> Once:
    """Do the fusion runs of a share of the seeds, from trained backbones that no image has been shown to yet."""
    setup, runs = _own_share(setup, number, count)

    def once() -> Done:
        for parent in {parent for run in runs for parent in run.parents}:
            (artifact_folder(setup.folder, parent) / OUTPUTS).unlink(missing_ok=True)
        setup.workspace.outputs.clear()
        return _trained(setup, runs)

    return once


def plain_fusion(setup: Setup, _: int, __: int) -> Once:
    """Train fusion methods with frozen backbones in the loop: one epoch of one seed, the rest by multiplying."""
    workspace = setup.workspace
    runs = [run for run in setup.plan if run.kind == "fusion" and run.seed == 0]
    trainings = {run.run_id: _frozen_training(run, setup) for run in runs}

    def once() -> Done:
        seconds = 0.0
        for run in runs:
            training, dims = trainings[run.run_id]
            head = initial_fusion(run, dims, workspace)
            started = time.perf_counter()
            if any(True for _ in head.parameters()):
                training.epochs(head, 1)
                epochs = stage_of(run).epochs
            else:
                training.evaluate(head)
                epochs = 1
            synchronise(setup.device)
            seconds += (time.perf_counter() - started) * epochs
        return Done(len(runs) * setup.settings.seeds, seconds * setup.settings.seeds)

    return once


def _frozen_training(run: Run, setup: Setup) -> tuple[PlainTraining, list[int]]:
    classes = len(setup.workspace.manifest.classes)
    backbones = [build_backbone(name, classes).to(setup.device).eval() for name in run.backbones]
    dims = [int(backbone.feature_dim) for backbone in backbones]  # type: ignore[arg-type]
    return PlainTraining(setup.workspace, run.seed, stage_of(run), setup.cores, backbones), dims


def _own_share(setup: Setup, number: int, count: int) -> tuple[Setup, list[Run]]:
    """Return a place of this process's own, with weights for every backbone, and the fusion runs of its seeds."""
    setup = replace(setup, folder=setup.folder / f"{count}-{number}")
    runs = [run for run in setup.plan if run.kind == "fusion" and run.seed % count == number]
    needed = {parent for run in runs for parent in run.parents}
    for run in setup.plan:
        if run.run_id in needed:
            weights = initial_backbone(run, setup.workspace).state_dict()
            save_tensors(weights, artifact_folder(setup.folder, run.run_id) / WEIGHTS)
    return setup, runs


def _trained(setup: Setup, runs: Sequence[Run]) -> Done:
    """Train fusion runs; what they score is not measured here, nor how long an image takes in use."""
    for run in runs:
        train(run, setup.workspace)
        checkpoint_path(setup.folder, run.run_id).unlink(missing_ok=True)
    return Done(len(runs))


def _backbone_run(setup: Setup, name: str) -> Run:
    return next(run for run in setup.plan if run.kind == "backbone" and run.backbones == (name,) and run.seed == 0)
