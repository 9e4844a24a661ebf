"""Fusion heads of many runs trained as one: their weights stacked, every step taken for all of them at once.

A head on stored outputs is so small that a GPU waits for the next one most of the time. Heads of one method whose
branches have the same shapes differ in weights and data alone, so `torch.func` maps one head over a stack of both.
Every head sees the batches that it would see alone, and its gradient is its own: the numbers are those of separate
training up to the rounding of a batched product.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.dropout import _DropoutNd

from backbones import BranchOutput
from benchmark.ledger import artifact_folder
from benchmark.plan import Run
from benchmark.training.checkpoint import save_tensors, stage_of
from benchmark.training.fit import (
    LARGEST_LOSS,
    DivergedError,
    Outcome,
    Scores,
    epoch_scores,
    keep_epoch,
    optimizer_of,
    rules_that_take,
)
from benchmark.training.fusion import WEIGHTS, StoredOutputs, initial_fusion
from benchmark.training.step import classes_of
from benchmark.training.workspace import Workspace, epoch_order

Member = tuple[Run, StoredOutputs, nn.Module]
LOSES_LOG_SUM_EXP = torch.__version__ < "2.14"  # which attention's fused kernels need backward, under `torch.vmap`
LARGEST_GAP = 0.01  # of the scores' spread, between a stack and its heads before training; rounding stays far below


def stackable(run: Run, head: nn.Module) -> bool:
    """Tell whether a head's training can be one of a stack.

    It has to be trained by cross entropy on each image's own stored features and logits; to draw nothing at random,
    since a stack would draw other numbers than a head alone; and to keep nothing but weights, since a stack does not
    bring running statistics forward. What no layer tells, such as `F.dropout` or an `if` on values, `torch.vmap`
    refuses.
    """
    return (
        run.stage == "stored"
        and run.hyperparameters["partner"] == "own"
        and not getattr(head, "uses_maps", False)
        and not hasattr(head, "training_loss")
        and any(True for _ in head.parameters())
        and not any(True for _ in head.buffers())
        and not any(_draws(part) for part in head.modules())
    )


def _draws(layer: nn.Module) -> bool:
    return isinstance(layer, nn.RReLU) or (isinstance(layer, _DropoutNd) and layer.p > 0)


def stacks(runs: Sequence[Run], workspace: Workspace) -> list[list[Member]]:
    """Return those of the runs that can be trained as one, sorted by what members of a stack have in common.

    There is none where the first run cannot be stacked, so that nothing is read for the others in vain. A run whose
    outputs or head cannot be had is left out: done alone, it says why.
    """
    alike: dict[tuple[object, ...], list[Member]] = {}
    for run in runs:
        try:
            outputs = StoredOutputs(run, workspace)
            head = initial_fusion(run, [branch.features.shape[1] for branch in outputs.branches], workspace)
            taken = stackable(run, head)
        except Exception:  # whatever it is, the run meets it again when it is done alone
            taken = False
        if taken:
            alike.setdefault(_in_common(run, head, workspace), []).append((run, outputs, head))
        elif not alike:
            break
    return list(alike.values())


def _in_common(run: Run, head: nn.Module, workspace: Workspace) -> tuple[object, ...]:
    """Return method, settings, shapes of the weights and sizes of the split, which may differ where it is by folds."""
    split = workspace.split(run.seed)
    return (
        run.method,
        tuple(sorted(stage_of(run).model_dump().items())),
        tuple((name, weight.shape) for name, weight in head.named_parameters()),
        tuple(len(rows) for rows in (split.train, split.validation, split.test)),
    )


class Stack(nn.Module):
    """S heads as one module: features (S, B, D_i) and logits (S, B, C) of every branch -> scores (S, B, C)."""

    def __init__(self, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        weights, _ = stack_module_state(list(heads))
        self.names = list(weights)
        self.weights = nn.ParameterList(nn.Parameter(x.detach(), x.requires_grad) for x in weights.values())
        self.pattern = [copy.deepcopy(heads[0]).to("meta")]  # in a list, as its weights are none of the stack's

        def score(weights: dict[str, Tensor], features: list[Tensor], logits: list[Tensor]) -> Tensor:
            branches = [BranchOutput(*branch) for branch in zip(features, logits, strict=True)]
            scores: Tensor = functional_call(self.pattern[0], weights, (branches,))
            return scores

        self.score_all: Callable[..., Tensor] = torch.vmap(score)

    def train(self, mode: bool = True) -> Stack:
        """Set the heads to training or evaluation."""
        self.pattern[0].train(mode)
        return super().train(mode)

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        weights = dict(zip(self.names, self.weights, strict=True))
        with sdpa_kernel(SDPBackend.MATH) if LOSES_LOG_SUM_EXP else nullcontext():
            return self.score_all(weights, [b.features for b in branches], [b.logits for b in branches])

    def state_of(self, place: int) -> dict[str, Tensor]:
        """Return the weights of one head."""
        return {name: x[place].detach().clone() for name, x in zip(self.names, self.weights, strict=True)}


class StackedOutputs:
    """The branches' outputs for all members of a stack, every (backbone, seed) held once."""

    def __init__(self, outputs: Sequence[StoredOutputs]) -> None:
        self.places: list[Tensor] = []
        self.held: list[BranchOutput] = []
        for position in range(len(outputs[0].branches)):
            parents = [taken.parents[position][0] for taken in outputs]
            distinct = list(dict.fromkeys(parents))
            first = [outputs[parents.index(parent)].branches[position] for parent in distinct]
            self.held.append(
                BranchOutput(torch.stack([b.features for b in first]), torch.stack([b.logits for b in first]))
            )
            device = self.held[-1].logits.device
            self.places.append(torch.tensor([distinct.index(parent) for parent in parents], device=device)[:, None])

    def take(self, index: Tensor) -> list[BranchOutput]:
        """Return what the branches said of (S, B) images, a row of them for every member."""
        return [
            BranchOutput(held.features[place, index], held.logits[place, index])
            for held, place in zip(self.held, self.places, strict=True)
        ]


def train_together(members: Sequence[Member], workspace: Workspace) -> list[Outcome]:
    """Train the heads of a stack; what each leaves is what training it alone would leave.

    Raises:
        RuntimeError: `torch.vmap` refuses what the heads do, or the stack does not give their scores.
        DivergedError: a member's loss or a score is out of bounds; which one, training each alone will tell.
    """
    runs = [run for run, _, _ in members]
    stack = Stack([head for _, _, head in members]).to(workspace.device)
    taken = StackedOutputs([outputs for _, outputs, _ in members])
    splits = [workspace.split(run.seed) for run in runs]
    stage, batch = stage_of(runs[0]), int(runs[0].hyperparameters["batch_size"])
    looks = {
        "validation": workspace.on_device(np.stack([split.validation for split in splits])),
        "test": workspace.on_device(np.stack([split.test for split in splits])),
    }

    def steps(epoch: int) -> tuple[Tensor, ...]:
        orders = [epoch_order(run, split.train, epoch) for run, split in zip(runs, splits, strict=True)]
        rows = workspace.on_device(np.stack([np.concatenate(order) for order in orders]))
        return rows.split([len(batch) for batch in orders[0]], dim=1)

    first = steps(1)
    _compare(stack, [head for _, _, head in members], taken.take(first[0]))
    optimizer, schedule = optimizer_of(stack, stage, len(first))
    outcomes = [Outcome() for _ in runs]
    best: list[dict[str, tuple[float, float]]] = [{} for _ in runs]
    for epoch in range(1, stage.epochs + 1):
        rate = optimizer.param_groups[0]["lr"]
        learnt = _learn_epoch(stack, taken, steps(epoch), (optimizer, schedule), workspace.targets)
        logits = _evaluate(stack, taken, looks, batch)
        for place, outcome in enumerate(outcomes):
            scores = epoch_scores(logits[place], workspace.labels_of(splits[place]))
            outcome.history.append({"epoch": epoch, "learning_rate": rate, **learnt[place], **scores})
            rules = rules_that_take(best[place], scores)
            keep_epoch(outcome, logits[place], epoch, rules)
            if "validation_selected" in rules:
                outcome.state = stack.state_of(place)
    for run, outcome in zip(runs, outcomes, strict=True):
        save_tensors(outcome.state, artifact_folder(workspace.experiment, run.run_id) / WEIGHTS)
    return outcomes


@torch.no_grad()
def _compare(stack: Stack, heads: Sequence[nn.Module], branches: Sequence[BranchOutput]) -> None:
    """Refuse a stack that does not give the scores of its heads, which may differ in more than weights."""
    for training in (True, False):
        together = stack.train(training)(branches)
        each = [[BranchOutput(b.features[i], b.logits[i]) for b in branches] for i in range(len(heads))]
        alone = torch.stack([head.train(training)(own) for head, own in zip(heads, each, strict=True)])
        gap, spread = torch.stack([(together - alone).abs().max(), alone.std()]).tolist()
        if not gap <= LARGEST_GAP * spread + 1e-6:
            raise RuntimeError(
                f"scores differ from those of the heads alone by {gap:.2g}, their spread is {spread:.2g}"
            )


def _learn_epoch(
    stack: Stack,
    taken: StackedOutputs,
    steps: Sequence[Tensor],
    learner: tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler],
    targets: Tensor,
) -> list[dict[str, float]]:
    """Take one step for every (S, B) rows; return each member's mean loss and accuracy seen on the way."""
    stack.train()
    optimizer, schedule = learner
    sums = []
    for rows in steps:
        scores, learnt = stack(taken.take(rows)), targets[rows]
        losses = F.cross_entropy(scores.flatten(0, 1), learnt.flatten(0, 1), reduction="none").view(rows.shape)
        optimizer.zero_grad(set_to_none=True)
        losses.mean(1).sum().backward()
        optimizer.step()
        schedule.step()
        right = (scores.detach().argmax(2) == classes_of(learnt)).sum(1)
        sums.append(torch.stack([losses.detach().sum(1), right], dim=1))
    images = sum(rows.shape[1] for rows in steps)
    seen: list[list[float]] = (torch.stack(sums).sum(0) / images).tolist()
    if not all(loss <= LARGEST_LOSS for loss, _ in seen):  # a loss that is not a number is not smaller either
        raise DivergedError("the loss of a head is out of bounds")
    return [{"train_loss": loss, "train_accuracy": right} for loss, right in seen]


@torch.inference_mode()
def _evaluate(stack: Stack, taken: StackedOutputs, looks: dict[str, Tensor], batch: int) -> list[Scores]:
    """Return every member's logits by split, its (S, N) rows taken in their order, `batch` at a time."""
    stack.eval()
    found: list[Scores] = [{} for _ in looks["test"]]
    for name, rows in looks.items():
        parts = [stack(taken.take(part)) for part in rows.split(batch, dim=1)]
        scores = torch.cat(parts, dim=1).float().cpu().numpy()
        if np.isnan(scores).any():
            raise DivergedError("a score of a head is not a number")
        for place, own in enumerate(scores):
            found[place][name] = own
    return found
