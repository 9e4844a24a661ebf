"""How long one image takes in use: the time of a few batches of test images, in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np
import torch

from benchmark.ledger import read_record
from benchmark.plan import Run
from benchmark.training.backbone import Logits, branch_output, trained_backbone
from benchmark.training.fusion import initial_fusion, initial_predictor
from benchmark.training.images import predict_images
from benchmark.training.workspace import Workspace

BATCHES = 5


def milliseconds_per_image(run: Run, workspace: Workspace) -> float | None:
    """Time a finished run's network on test images, in batches of its training size; the fastest of a few, after one.

    The fastest, since other work on the machine can only add to it. A backbone is timed from decoded images. A fusion
    method is timed on what its backbones say of a batch, and the times of the backbones' own runs are added, so that
    methods on the same networks differ by themselves alone; None where one of the networks has no time.
    """
    if run.stage == "backbone":
        return _fastest(_backbone(run, workspace), _rows(run, workspace))
    branches = [read_record(workspace.experiment, parent).milliseconds for parent in run.parents]
    if None in branches:
        return None
    head = _joint_head(run, workspace) if run.stage == "joint" else _head_on_stored_outputs(run, workspace)
    return round(sum(filter(None, branches)) + _fastest(head, _rows(run, workspace)), 6)


def _rows(run: Run, workspace: Workspace) -> np.ndarray:
    return workspace.split(run.seed).test[: int(run.hyperparameters["batch_size"])]


def _backbone(run: Run, workspace: Workspace) -> Callable[[np.ndarray], object]:
    network = Logits(trained_backbone(run.run_id, run.backbones[0], workspace), workspace.settings.precision).eval()
    return lambda rows: predict_images(network, workspace, rows, len(rows))


def _head_on_stored_outputs(run: Run, workspace: Workspace) -> Callable[[np.ndarray], object]:
    """Return the method as it starts, on stored outputs: what it has learnt changes no time."""
    _, predict = initial_predictor(run, workspace)
    return lambda rows: predict(rows, len(rows))


def _joint_head(run: Run, workspace: Workspace) -> Callable[[np.ndarray], object]:
    """Return the method as it starts, on one batch of outputs: what it has learnt changes no time."""
    images = workspace.network_input(_rows(run, workspace))
    with torch.inference_mode():
        outputs = [
            branch_output(trained_backbone(parent, spec, workspace).eval(), images, workspace.settings.precision)
            for parent, spec in zip(run.parents, run.backbones, strict=True)
        ]
    head = initial_fusion(run, [output.features.shape[1] for output in outputs], workspace).eval()

    def score(_: np.ndarray) -> object:
        with torch.inference_mode():
            return head(outputs).cpu()

    return score


def _fastest(score: Callable[[np.ndarray], object], rows: np.ndarray) -> float:
    """Return milliseconds per image; scores come back to the processor, so that a GPU has finished."""
    score(rows)
    times = []
    for _ in range(BATCHES):
        started = perf_counter()
        score(rows)
        times.append(perf_counter() - started)
    return round(1000 * min(times) / len(rows), 6)
