"""What a network that sees images learns from and is evaluated on: the task of stage 1 and of end-to-end fusion."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from benchmark.plan import Run
from benchmark.training.fit import Scores, Task
from benchmark.training.workspace import Workspace, batches_of, epoch_order

EVALUATION_BATCH = 256


def image_task(run: Run, workspace: Workspace, evaluation_batch: int = EVALUATION_BATCH) -> Task:
    """Return the augmented training batches of a run's seed, and evaluation on its validation and test images."""
    split = workspace.split(run.seed)
    rows = split.train
    if run.kind == "fold":
        left_out = workspace.folds(run.seed, run.hyperparameters["folds"])[run.hyperparameters["fold"] - 1]
        rows = np.setdiff1d(rows, left_out)

    def evaluate(network: nn.Module) -> Scores:
        network.eval()
        return {
            "validation": predict_images(network, workspace, split.validation, evaluation_batch),
            "test": predict_images(network, workspace, split.test, evaluation_batch),
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
