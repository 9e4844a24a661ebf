"""Stage 2: a fusion method on the stored outputs of frozen backbones, or end to end with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from scipy.special import log_softmax, logsumexp
from torch import Tensor, nn

from backbones import BranchOutput
from benchmark.ledger import artifact_folder
from benchmark.plan import Run, stream
from benchmark.trained import END_TO_END_WEIGHTS, module_settings
from benchmark.trained import FUSION_WEIGHTS as WEIGHTS
from benchmark.training.backbone import branch_output, stored_outputs, trained_backbone
from benchmark.training.checkpoint import save_tensors, stage_of
from benchmark.training.fit import Batches, Outcome, Scores, Task, fit
from benchmark.training.images import image_task, predict_images
from benchmark.training.resume import execution_of
from benchmark.training.step import own_loss
from benchmark.training.workspace import Workspace, epoch_order
from fusion_methods import build_method

HELD, HELD_BYTES = 16, 4 * 2**30  # networks whose outputs a device holds for the runs to come, and their size
Predict = Callable[[np.ndarray, int], np.ndarray]


class EndToEnd(nn.Module):
    """Run every backbone on the images and fuse what they say."""

    def __init__(self, backbones: Sequence[nn.Module], fusion: nn.Module, precision: str) -> None:
        super().__init__()
        self.backbones = nn.ModuleList(backbones)
        self.fusion, self.precision = fusion, precision

    def branches(self, images: Tensor) -> list[BranchOutput]:
        """Return what every backbone says of the images."""
        return [branch_output(backbone, images, self.precision) for backbone in self.backbones]

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.fusion(self.branches(images))
        return scores


class StoredOutputs:
    """What the frozen branches of a run said of every image, taken batch by batch.

    For a run with shuffled partners, every branch but the first is asked about another image: in training the batch's
    previous one, in evaluation one of the same split that the seed has drawn, so that evaluation does not depend on
    the order of images.
    """

    def __init__(self, run: Run, workspace: Workspace, fold: int = 0) -> None:
        self.run, self.workspace = run, workspace
        first = fold * len(run.backbones)
        self.parents = list(zip(run.parents[first:], run.backbones, strict=False))
        self.shuffled = run.hyperparameters["partner"] == "shuffled"
        self.branches = [_outputs(i, spec, workspace, False) for i, spec in self.parents]
        partner = np.arange(len(workspace.manifest))
        if self.shuffled:
            split = workspace.split(run.seed)
            for name, rows in (("validation", split.validation), ("test", split.test)):
                order = np.random.default_rng(stream(run.seed, "partner", name)).permutation(rows)
                partner[order] = np.roll(order, 1)
        self.partner = workspace.on_device(partner)

    def with_maps(self) -> StoredOutputs:
        """Read the feature maps too."""
        self.branches = [_outputs(i, spec, self.workspace, True) for i, spec in self.parents]
        return self

    def training_batch(self, index: Tensor) -> list[BranchOutput]:
        """Return the branches' outputs for a shuffled batch of training rows."""
        return self._take(index, index.roll(1) if self.shuffled else index)

    def evaluation_batch(self, index: Tensor) -> list[BranchOutput]:
        """Return the branches' outputs for these validation or test rows."""
        return self._take(index, self.partner[index])

    def _take(self, index: Tensor, partners: Tensor) -> list[BranchOutput]:
        first, *others = self.branches
        return [_rows_of(first, index), *(_rows_of(branch, partners) for branch in others)]

    def predict(self, network: nn.Module, index: Tensor, batch: int) -> np.ndarray:
        """Return the (N, C) scores of these rows, taken in this order, `batch` at a time."""
        network.eval()
        with torch.inference_mode():
            scores = [network(self.evaluation_batch(part)) for part in index.split(batch)]
        return torch.cat(scores).float().cpu().numpy()


def train_on_stored_outputs(run: Run, workspace: Workspace) -> Outcome:
    """Train a fusion method on what its frozen branches said of each image; no backbone runs.

    Evaluation goes through validation and test in the data's file order, in batches of the training size: it is what
    a plain script does, and for a method that depends on its batch it matters.
    """
    network, outputs = _initial(run, workspace)
    split = workspace.split(run.seed)
    batch = int(run.hyperparameters["batch_size"])

    def batches(epoch: int) -> Iterator[tuple[list[BranchOutput], Tensor]]:
        for index in workspace.on_device_in_parts(epoch_order(run, split.train, epoch)):
            yield outputs.training_batch(index), workspace.targets[index]

    return _fit_and_keep(run, workspace, network, batches, lambda index: outputs.predict(network, index, batch))


def _fit_and_keep(
    run: Run, workspace: Workspace, network: nn.Module, batches: Batches, predict: Callable[[Tensor], np.ndarray]
) -> Outcome:
    """Train a head on a run's training rows and leave its selected weights as an artifact."""
    split = workspace.split(run.seed)
    looked_at = {"validation": workspace.on_device(split.validation), "test": workspace.on_device(split.test)}

    def evaluate(_: nn.Module) -> Scores:
        return {name: predict(index) for name, index in looked_at.items()}

    steps = len(epoch_order(run, split.train, 1))
    task = Task(batches, steps, evaluate, workspace.labels_of(split), own_loss(network))
    outcome = fit(network, task, stage_of(run), execution_of(run, workspace))
    if outcome.state:
        save_tensors(outcome.state, artifact_folder(workspace.experiment, run.run_id) / WEIGHTS)
    return outcome


class CrossFitted(nn.Module):
    """A copy of the fusion method for every fold: each learns from images that its networks have not learnt from."""

    def __init__(self, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, parts: Sequence[tuple[int, list[BranchOutput]]]) -> Tensor:
        """Score the images of each (fold, outputs) by the fold's own copy; rows in the order of the parts."""
        return torch.cat([self.heads[fold](branches) for fold, branches in parts])

    @property
    def training_loss(self) -> Callable[..., Tensor] | None:
        """The mean of the heads' own losses over the images of all parts, None where they have none."""
        return self._training_loss if hasattr(self.heads[0], "training_loss") else None

    def _training_loss(
        self, scores: Tensor, parts: Sequence[tuple[int, list[BranchOutput]]], targets: Tensor
    ) -> Tensor:
        sizes = [len(branches[0].features) for _, branches in parts]
        pieces = zip(parts, scores.split(sizes), targets.split(sizes), sizes, strict=True)
        losses = [n * self.heads[k].training_loss(own, said, part) for (k, said), own, part, n in pieces]  # type: ignore[operator]
        return torch.stack(losses).sum() / len(targets)

    def predict(self, outputs: Sequence[StoredOutputs], index: Tensor, batch: int) -> np.ndarray:
        """Return the (N, C) logarithm of the mean of all copies' probabilities."""
        scores = [taken.predict(head, index, batch) for taken, head in zip(outputs, self.heads, strict=True)]
        mean: np.ndarray = logsumexp(log_softmax(np.stack(scores), axis=2), axis=0) - np.log(len(scores))
        return mean


def train_cross_fitted(run: Run, workspace: Workspace) -> Outcome:
    """Train a fusion method on out-of-fold outputs.

    A backbone knows its training images too well, so that a head trained on them meets other features in use. Here
    each backbone was trained once without each fold; the fold's images train a copy of the head on what that
    backbone says of them, and the copies' mean probability is the prediction. Features of two folds' networks
    are never mixed: their axes have nothing to do with each other.
    """
    network, outputs = _initial_cross_fitted(run, workspace)
    split = workspace.split(run.seed)
    batch = int(run.hyperparameters["batch_size"])
    fold_of = np.zeros(len(workspace.manifest), dtype=np.int64)
    for fold, rows in enumerate(workspace.folds(run.seed, len(outputs))):
        fold_of[rows] = fold

    def batches(epoch: int) -> Iterator[tuple[list[tuple[int, list[BranchOutput]]], Tensor]]:
        order = [rows[np.argsort(fold_of[rows], kind="stable")] for rows in epoch_order(run, split.train, epoch)]
        for rows, index in zip(order, workspace.on_device_in_parts(order), strict=True):
            parts = enumerate(index.split(np.bincount(fold_of[rows], minlength=len(outputs)).tolist()))
            yield [(k, outputs[k].training_batch(part)) for k, part in parts if len(part)], workspace.targets[index]

    return _fit_and_keep(run, workspace, network, batches, lambda index: network.predict(outputs, index, batch))


def train_end_to_end(run: Run, workspace: Workspace) -> Outcome:
    """Train backbones and fusion method together, the backbones starting from their stage-1 weights.

    The selected weights are left as an artifact, as large as the backbones; whoever asks the run again reads them.
    """
    network = initial_end_to_end(run, workspace)
    task = end_to_end_task(network, image_task(run, workspace))
    outcome = fit(network, task, stage_of(run), execution_of(run, workspace))
    save_tensors(outcome.state, artifact_folder(workspace.experiment, run.run_id) / END_TO_END_WEIGHTS)
    return outcome


def end_to_end_task(network: EndToEnd, task: Task) -> Task:
    """Return a task with the loss and the change of gradients that the fusion method has of its own."""
    adjust = getattr(network.fusion, "adjust_gradients", None)
    return replace(
        task,
        loss_of=own_loss(network.fusion, network.branches),
        before_step=partial(adjust, list(network.backbones)) if adjust else None,
    )


def initial_predictor(run: Run, workspace: Workspace) -> tuple[nn.Module, Predict]:
    """Return a fusion run's network as it starts, and how it scores images: (rows, batch size) -> (N, C)."""
    if run.stage == "joint":
        joint = initial_end_to_end(run, workspace)
        return joint, lambda rows, batch: predict_images(joint.eval(), workspace, rows, batch)
    if run.stage == "cross-fitted":
        copies, by_fold = _initial_cross_fitted(run, workspace)
        return copies, lambda rows, batch: copies.predict(by_fold, workspace.on_device(rows), batch)
    network, outputs = _initial(run, workspace)
    return network, lambda rows, batch: outputs.predict(network, workspace.on_device(rows), batch)


def initial_fusion(run: Run, feature_dims: Sequence[int], workspace: Workspace) -> nn.Module:
    """Build a run's fusion module as it starts; the draw depends on seed and branches, not on the method's name."""
    torch.manual_seed(stream(run.seed, "fusion weights", *run.backbones))
    dims, classes = tuple(feature_dims), len(workspace.manifest.classes)
    return build_method(run.hyperparameters["method"], module_settings(run.hyperparameters), dims, classes).to(
        workspace.device
    )


def _initial_cross_fitted(run: Run, workspace: Workspace) -> tuple[CrossFitted, list[StoredOutputs]]:
    pairs = [_initial(run, workspace, fold) for fold in range(run.folds)]
    return CrossFitted([network for network, _ in pairs]), [outputs for _, outputs in pairs]


def _initial(run: Run, workspace: Workspace, fold: int = 0) -> tuple[nn.Module, StoredOutputs]:
    outputs = StoredOutputs(run, workspace, fold)
    network = initial_fusion(run, [branch.features.shape[1] for branch in outputs.branches], workspace)
    return network, outputs.with_maps() if getattr(network, "uses_maps", False) else outputs


def initial_end_to_end(run: Run, workspace: Workspace) -> EndToEnd:
    """Build an end-to-end run's network as it starts: the backbones trained alone, and the fusion module."""
    backbones = [trained_backbone(i, spec, workspace) for i, spec in _parents(run)]
    dims = [int(backbone.feature_dim) for backbone in backbones]  # type: ignore[arg-type]
    return EndToEnd(backbones, initial_fusion(run, dims, workspace), workspace.settings.precision)


def _rows_of(branch: BranchOutput, index: Tensor) -> BranchOutput:
    maps = None if branch.maps is None else branch.maps[index].float()
    return BranchOutput(branch.features[index], branch.logits[index], maps)


def _parents(run: Run) -> list[tuple[str, str]]:
    return list(zip(run.parents, run.backbones, strict=True))


def _outputs(run_id: str, spec: str, workspace: Workspace, with_maps: bool) -> BranchOutput:
    """Return a stage-1 run's outputs; the device holds those that were used last, `HELD` of them and `HELD_BYTES`.

    Maps of 15 000 images at 224 pixels are 0.8 GB (float32: 1.5 GB), so that two networks' fit. Those that a run has in
    its hands stay until it ends, whatever the limits.
    """
    held, key = workspace.outputs, (run_id, with_maps)
    if key not in held:
        held[key] = stored_outputs(run_id, spec, workspace, with_maps=with_maps)
    held.move_to_end(key)
    while len(held) > HELD or (len(held) > 1 and sum(map(_size, held.values())) > HELD_BYTES):
        held.popitem(last=False)
    return held[key]


def _size(output: BranchOutput) -> int:
    return sum(tensor.nbytes for tensor in output if tensor is not None)
