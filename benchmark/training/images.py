"""What a network that sees images learns from and is evaluated on: the task of stage 1 and of end-to-end fusion."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from benchmark.plan import Run
from benchmark.training.fit import Scores, Task
from benchmark.training.workspace import Workspace, batches_of, epoch_order

EVALUATION_BATCH = 256
EVALUATION_PIXELS = 112 * 112 * EVALUATION_BATCH


def evaluation_batch(workspace: Workspace) -> int:
    """Return how many images a network is asked about at once.

    The largest layer's output grows with the area: images beyond 112 pixels go through in smaller batches, or
    evaluation would take more memory than training. At 224 pixels two outputs of VGG13's first layer are then 1.6 GB.
    """
    return max(1, min(EVALUATION_BATCH, EVALUATION_PIXELS // workspace.settings.data.image_size**2))


def image_task(run: Run, workspace: Workspace, batch: int | None = None) -> Task:
    """Return the augmented training batches of a run's seed, and evaluation on its validation and test images.

    Args:
        batch: images that evaluation takes at once, for a network whose predictions depend on it.
    """
    at_once = batch or evaluation_batch(workspace)
    split = workspace.split(run.seed)
    rows = split.train
    if run.kind == "fold":
        left_out = workspace.folds(run.seed, run.hyperparameters["folds"])[run.hyperparameters["fold"] - 1]
        rows = np.setdiff1d(rows, left_out)

    def evaluate(network: nn.Module) -> Scores:
        network.eval()
        return {
            "validation": predict_images(network, workspace, split.validation, at_once),
            "test": predict_images(network, workspace, split.test, at_once),
        }

    return Task(
        batches=lambda epoch: workspace.image_batches(run, rows, epoch),
        steps=len(epoch_order(run, rows, 1)),
        evaluate=evaluate,
        labels=workspace.labels_of(split),
    )


@torch.inference_mode()
def predict_images(network: nn.Module, workspace: Workspace, rows: np.ndarray, batch: int) -> np.ndarray:
    """Return the (N, C) scores of the images in these rows, taken in this order, `batch` at a time."""
    scores = [network(workspace.network_input(part)) for part in batches_of(rows, batch)]
    return torch.cat(scores).float().cpu().numpy()
