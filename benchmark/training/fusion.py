"""Stage 2: a fusion method on the stored outputs of frozen backbones, or end to end with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from backbones import BranchOutput
from benchmark.plan import Run, stream
from benchmark.training.backbone import stage_of, stored_outputs, trained_backbone
from benchmark.training.fit import Outcome, Scores, Task, fit
from benchmark.training.images import image_task
from benchmark.training.workspace import Workspace, batches_of, epoch_order
from fusion_methods import build_fusion


class EndToEnd(nn.Module):
    """Run every backbone on the images and fuse what they say."""

    def __init__(self, backbones: Sequence[nn.Module], fusion: nn.Module) -> None:
        super().__init__()
        self.backbones = nn.ModuleList(backbones)
        self.fusion = fusion

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.fusion([backbone(images) for backbone in self.backbones])
        return scores


def train_on_stored_outputs(run: Run, workspace: Workspace) -> Outcome:
    """Train a fusion method on what its frozen branches said of each image; no backbone runs.

    Evaluation goes through validation and test in the data's file order, in batches of the training size: it is what
    a plain script does, and for a method that depends on its batch it matters.
    """
    dims = [_outputs(i, spec, workspace, False).features.shape[1] for i, spec in _parents(run)]
    network = initial_fusion(run, dims, workspace)
    with_maps = bool(getattr(network, "uses_maps", False))
    branches = [_outputs(i, spec, workspace, with_maps) for i, spec in _parents(run)]
    split = workspace.split(run.seed)

    def batches(epoch: int) -> Iterator[tuple[list[BranchOutput], Tensor]]:
        for rows in epoch_order(run, split.train, epoch):
            index = torch.from_numpy(rows).to(workspace.device)
            yield take(branches, index), workspace.labels[index]

    @torch.inference_mode()
    def scores(model: nn.Module, rows: np.ndarray) -> np.ndarray:
        parts = batches_of(rows, int(run.hyperparameters["batch_size"]))
        outputs = [model(take(branches, torch.from_numpy(part).to(workspace.device))) for part in parts]
        return torch.cat(outputs).float().cpu().numpy()

    def evaluate(model: nn.Module) -> Scores:
        model.eval()
        return {"validation": scores(model, split.validation), "test": scores(model, split.test)}

    task = Task(batches, len(epoch_order(run, split.train, 1)), evaluate, workspace.labels_of(split))
    return fit(network, task, stage_of(run))


def train_end_to_end(run: Run, workspace: Workspace) -> Outcome:
    """Train backbones and fusion method together, the backbones starting from their stage-1 weights."""
    backbones = [trained_backbone(i, spec, workspace) for i, spec in _parents(run)]
    dims = [int(backbone.feature_dim) for backbone in backbones]  # type: ignore[arg-type]
    network = EndToEnd(backbones, initial_fusion(run, dims, workspace))
    return fit(network, image_task(run, workspace, int(run.hyperparameters["batch_size"])), stage_of(run))


def initial_fusion(run: Run, feature_dims: Sequence[int], workspace: Workspace) -> nn.Module:
    """Build a run's fusion module as it starts; the draw depends on seed and branches, not on the method's name."""
    torch.manual_seed(stream(run.seed, "fusion weights", *run.backbones))
    assert run.method is not None
    return build_fusion(run.method, tuple(feature_dims), len(workspace.manifest.classes)).to(workspace.device)


def take(branches: Sequence[BranchOutput], index: Tensor) -> list[BranchOutput]:
    """Return the rows `index` of every branch's outputs."""
    return [
        BranchOutput(b.features[index], b.logits[index], None if b.maps is None else b.maps[index]) for b in branches
    ]


def _parents(run: Run) -> list[tuple[str, str]]:
    return list(zip(run.parents, run.backbones, strict=True))


@lru_cache(maxsize=16)
def _outputs(run_id: str, spec: str, workspace: Workspace, with_maps: bool) -> BranchOutput:
    return stored_outputs(run_id, spec, workspace, with_maps=with_maps)
