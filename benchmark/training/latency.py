"""How long one image takes in use: the time of a few batches of test images, in evaluation mode."""

from __future__ import annotations

import statistics
import time

from benchmark.ledger import read_record
from benchmark.plan import Run
from benchmark.training.backbone import Logits, trained_backbone
from benchmark.training.fusion import EndToEnd, Predict, initial_fusion, trained_predictor
from benchmark.training.images import predict_images
from benchmark.training.workspace import Workspace

BATCHES = 5


def milliseconds_per_image(run: Run, workspace: Workspace) -> float | None:
    """Time a finished run's network on test images in batches of its training size; the median of a few, after one.

    A backbone, or networks that were trained together, are timed from decoded images. A method on stored outputs is
    timed on these, and the times of its backbones' own runs are added; None where one of them has none.
    """
    if run.stage == "backbone":
        return _median(_on_images(run, workspace), run, workspace)
    if run.stage == "joint":
        return _median(_end_to_end(run, workspace), run, workspace)
    branches = [read_record(workspace.experiment, parent).milliseconds for parent in run.parents]
    if None in branches:
        return None
    head = _median(trained_predictor(run, workspace), run, workspace)
    return head + sum(time for time in branches if time is not None)


def _on_images(run: Run, workspace: Workspace) -> Predict:
    network = Logits(trained_backbone(run.run_id, run.backbones[0], workspace)).eval()
    return lambda rows, batch: predict_images(network, workspace, rows, batch)


def _end_to_end(run: Run, workspace: Workspace) -> Predict:
    """Return the networks as they start: what they have learnt changes no time, and they are not kept."""
    backbones = [trained_backbone(i, spec, workspace) for i, spec in zip(run.parents, run.backbones, strict=True)]
    dims = [int(backbone.feature_dim) for backbone in backbones]  # type: ignore[arg-type]
    network = EndToEnd(backbones, initial_fusion(run, dims, workspace)).eval()
    return lambda rows, batch: predict_images(network, workspace, rows, batch)


def _median(predict: Predict, run: Run, workspace: Workspace) -> float:
    """Return milliseconds per image; scores come back to the processor, so that a GPU has finished."""
    batch = int(run.hyperparameters["batch_size"])
    rows = workspace.split(run.seed).test[:batch]
    predict(rows, batch)
    times = []
    for _ in range(BATCHES):
        started = time.perf_counter()
        predict(rows, batch)
        times.append(time.perf_counter() - started)
    return round(1000 * statistics.median(times) / len(rows), 6)
