"""What a network that sees images learns from and is evaluated on: the task of stage 1 and of end-to-end fusion."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.plan import Run
from benchmark.training.fit import Scores, Task
from benchmark.training.workspace import Workspace, epoch_order

EVALUATION_BATCH = {"cpu": 256, "cuda": 512}
EVALUATION_PIXELS = {"cpu": 112 * 112 * 256, "cuda": 224 * 224 * 256}


def evaluation_batch(workspace: Workspace, run: Run | None = None) -> int:
    """Return how many images a network, or a run's, is evaluated on at once.

    An end-to-end method that depends on its batch is evaluated in batches of the training size, as a plain script does;
    on a CPU all of them are. The largest layer's output grows with the area: large images go through in smaller
    batches, or evaluation would take more memory than training. Two outputs of VGG13's first layer for 64 images of
    224 pixels are 1.6 GB in float32.
    """
    kind = torch.device(workspace.device).type
    if run is not None and run.stage == "joint" and (run.batch_dependent or kind == "cpu"):
        return int(run.hyperparameters["batch_size"])
    pixels = workspace.settings.data.image_size**2
    return max(1, min(EVALUATION_BATCH[kind], EVALUATION_PIXELS[kind] // pixels))


def image_task(run: Run, workspace: Workspace) -> Task:
    """Return the augmented training batches of a run's seed, and evaluation on its validation and test images."""
    at_once = evaluation_batch(workspace, run)
    split = workspace.split(run.seed)
    rows = split.train
    if run.kind == "fold":
        left_out = workspace.folds(run.seed, run.hyperparameters["folds"])[run.hyperparameters["fold"] - 1]
        rows = np.setdiff1d(rows, left_out)

    looked_at = {"validation": workspace.on_device(split.validation), "test": workspace.on_device(split.test)}

    def evaluate(network: nn.Module) -> Scores:
        network.eval()
        parts = [_scores(network, workspace, index, at_once) for index in looked_at.values()]
        scores = torch.cat(parts).float().cpu().numpy()  # the one wait of an epoch's evaluation
        return dict(zip(looked_at, np.split(scores, [len(parts[0])]), strict=True))

    return Task(
        batches=lambda epoch: workspace.image_batches(run, rows, epoch),
        steps=len(epoch_order(run, rows, 1)),
        evaluate=evaluate,
        labels=workspace.labels_of(split),
    )


def predict_images(network: nn.Module, workspace: Workspace, rows: np.ndarray, batch: int) -> np.ndarray:
    """Return the (N, C) scores of the images in these rows, taken in this order, `batch` at a time."""
    scores: np.ndarray = _scores(network, workspace, workspace.on_device(rows), batch).float().cpu().numpy()
    return scores


@torch.inference_mode()
def _scores(network: nn.Module, workspace: Workspace, index: Tensor, batch: int) -> Tensor:
    return torch.cat([network(workspace.network_input(part)) for part in index.split(batch)])
