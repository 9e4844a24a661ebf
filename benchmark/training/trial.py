"""One trial of a search: a run that learns from training images and is judged on validation; there is no test split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from backbones import BranchOutput
from benchmark.config import UserError
from benchmark.data.manifest import Manifest
from benchmark.ledger import artifact_folder
from benchmark.plan import Run
from benchmark.training.backbone import OUTPUTS, Logits, initial_backbone
from benchmark.training.checkpoint import stage_of
from benchmark.training.fit import Scores, Task, fit
from benchmark.training.fusion import end_to_end_task, initial_end_to_end, initial_fusion
from benchmark.training.images import evaluation_batch, image_task, predict_images
from benchmark.training.step import own_loss
from benchmark.training.workspace import Workspace, batches_of, epoch_order

AfterEpoch = Callable[[int, float], None]


def training_part(workspace: Workspace) -> Workspace:
    """Return a workspace of the training images alone: test images have no row, name, file or label in it."""
    return replace(workspace, manifest=_without_test(workspace.manifest))


def validation_accuracy(run: Run, workspace: Workspace, after_epoch: AfterEpoch) -> float:
    """Train a run and return its best validation accuracy over epochs, a fraction of 1.

    Nothing is written. `after_epoch` is told every epoch (from 1) and its validation accuracy, and may raise to stop.

    Args:
        workspace: that of `training_part`.

    Raises:
        UserError: the run learns on something else than a network's stored outputs or images.
    """
    assert not workspace.manifest.is_test.any()
    network, task = TASKS[run.stage](run, workspace)
    labels = workspace.manifest.labels[workspace.split(run.seed).validation]
    found: list[float] = []

    def evaluate(module: nn.Module) -> Scores:
        logits = task.evaluate(module)["validation"]
        found.append(float((logits.argmax(1) == labels).mean()))
        after_epoch(len(found), found[-1])
        return {"validation": logits, "test": logits}  # `fit` reads two splits; the second is the first again

    fit(network, replace(task, evaluate=evaluate, labels={"validation": labels, "test": labels}), stage_of(run))
    return max(found)


def parameters_of(run: Run, workspace: Workspace) -> int:
    """Return how many parameters of a run learn."""
    network, _ = TASKS[run.stage](run, workspace)
    return sum(parameter.numel() for parameter in network.parameters())


def _stored_task(run: Run, workspace: Workspace) -> tuple[nn.Module, Task]:
    if run.hyperparameters["partner"] == "shuffled":
        raise UserError(f"{run.method} is a control; tune the method without partner=shuffled")
    branches = [_training_outputs(parent, workspace) for parent in run.parents]
    network = initial_fusion(run, [branch.features.shape[1] for branch in branches], workspace)
    if getattr(network, "uses_maps", False):
        raise UserError(f"{run.method} reads feature maps, which no trial stores; tune another reading of it")
    split, batch = workspace.split(run.seed), int(run.hyperparameters["batch_size"])

    def take(rows: np.ndarray) -> list[BranchOutput]:
        index = torch.from_numpy(rows).to(workspace.device)
        return [BranchOutput(branch.features[index], branch.logits[index]) for branch in branches]

    def batches(epoch: int) -> Iterator[tuple[list[BranchOutput], Tensor]]:
        for rows in epoch_order(run, split.train, epoch):
            yield take(rows), workspace.targets[torch.from_numpy(rows).to(workspace.device)]

    def evaluate(module: nn.Module) -> Scores:
        module.eval()
        with torch.inference_mode():
            scores = [module(take(rows)) for rows in batches_of(split.validation, batch)]
        return {"validation": torch.cat(scores).float().cpu().numpy()}

    return network, Task(batches, len(epoch_order(run, split.train, 1)), evaluate, {}, own_loss(network))


def _backbone_task(run: Run, workspace: Workspace) -> tuple[nn.Module, Task]:
    return _image_task(Logits(initial_backbone(run, workspace), workspace.settings.precision), run, workspace)


def _joint_task(run: Run, workspace: Workspace) -> tuple[nn.Module, Task]:
    network = initial_end_to_end(run, workspace)
    return network, end_to_end_task(network, _image_task(network, run, workspace)[1])


def _image_task(network: nn.Module, run: Run, workspace: Workspace) -> tuple[nn.Module, Task]:
    rows = workspace.split(run.seed).validation
    at_once = evaluation_batch(workspace)

    def evaluate(module: nn.Module) -> Scores:
        return {"validation": predict_images(module.eval(), workspace, rows, at_once)}

    return network, replace(image_task(run, workspace), evaluate=evaluate)


def _cross_fitted_task(run: Run, workspace: Workspace) -> tuple[nn.Module, Task]:
    raise UserError(f"{run.method}: tune the method without features=cross-fitted, then use what was chosen")


TASKS: dict[str, Callable[[Run, Workspace], tuple[nn.Module, Task]]] = {
    "stored": _stored_task,
    "backbone": _backbone_task,
    "joint": _joint_task,
    "cross-fitted": _cross_fitted_task,
}


def _training_outputs(run_id: str, workspace: Workspace) -> BranchOutput:
    path = artifact_folder(workspace.experiment, run_id) / OUTPUTS
    if not path.is_file():
        raise UserError(f"the outputs of backbone run {run_id} are not kept; delete its folder and run it again")
    return _first_rows(path, len(workspace.manifest), workspace.device)


@lru_cache(maxsize=64)
def _first_rows(path: Path, count: int, device: str) -> BranchOutput:
    """Read the outputs of the first `count` images, which are the training images, and no others."""
    with safe_open(path, framework="pt", device=device) as file:
        features, logits = (file.get_slice(name)[:count] for name in ("features", "logits"))
    return BranchOutput(features, logits)


def _without_test(manifest: Manifest) -> Manifest:
    count = int((~manifest.is_test).sum())
    assert not manifest.is_test[:count].any(), "training images come first"
    return manifest.take(np.arange(count))
