"""Fusion heads of many runs trained as one: their weights stacked, every step taken for all of them at once.

A head on stored outputs is so small that a GPU waits for the next one most of the time. Heads of one method whose
branches have the same shapes differ in weights and data alone, so `torch.func` maps one head over a stack of both.
Every head sees the batches that it would see alone, and its gradient is its own: the numbers are those of separate
training up to the rounding of a batched product.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from backbones import BranchOutput
from benchmark.ledger import artifact_folder
from benchmark.plan import Run
from benchmark.training.checkpoint import save_tensors, stage_of
from benchmark.training.fit import (
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


def stackable(run: Run, head: nn.Module) -> bool:
    """Tell whether a head's training can be one of a stack.

    It has to learn on each image's own stored features and logits, and to draw nothing at random in training: a stack
    would draw other numbers than a head alone.
    """
    return (
        run.stage == "stored"
        and run.hyperparameters["partner"] == "own"
        and not getattr(head, "uses_maps", False)
        and any(True for _ in head.parameters())
        and not any(isinstance(part, nn.Dropout) and part.p > 0 for part in head.modules())
    )


def stacks(runs: Sequence[Run], workspace: Workspace) -> list[list[Member]]:
    """Return those of the runs that can be trained as one, sorted by method, settings and shapes of the weights."""
    alike: dict[tuple[object, ...], list[Member]] = {}
    for run in (run for run in runs if run.stage == "stored" and run.hyperparameters["partner"] == "own"):
        outputs = StoredOutputs(run, workspace)
        head = initial_fusion(run, [branch.features.shape[1] for branch in outputs.branches], workspace)
        if stackable(run, head):
            shapes = tuple((name, weight.shape) for name, weight in head.named_parameters())
            key = (run.method, tuple(sorted(stage_of(run).model_dump().items())), shapes)
            alike.setdefault(key, []).append((run, outputs, head))
    return list(alike.values())


class Stack(nn.Module):
    """S heads as one module: features (S, B, D_i) and logits (S, B, C) of every branch -> scores (S, B, C)."""

    def __init__(self, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        weights, buffers = stack_module_state(list(heads))
        self.names, self.buffers_by_name = list(weights), buffers
        self.weights = nn.ParameterList(weights[name].detach() for name in self.names)
        pattern = copy.deepcopy(heads[0]).to("meta")

        def score(
            weights: dict[str, Tensor], buffers: dict[str, Tensor], features: list[Tensor], logits: list[Tensor]
        ) -> Tensor:
            branches = [BranchOutput(*branch) for branch in zip(features, logits, strict=True)]
            scores: Tensor = functional_call(pattern, (weights, buffers), (branches,))
            return scores

        self.score_all: Callable[..., Tensor] = torch.vmap(score)

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        weights = dict(zip(self.names, self.weights, strict=True))
        return self.score_all(
            weights, self.buffers_by_name, [b.features for b in branches], [b.logits for b in branches]
        )

    def state_of(self, place: int) -> dict[str, Tensor]:
        """Return the weights and buffers of one head, on the CPU."""
        named = {**dict(zip(self.names, self.weights, strict=True)), **self.buffers_by_name}
        return {name: value[place].detach().cpu().clone() for name, value in named.items()}


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

    def take(self, rows: np.ndarray) -> list[BranchOutput]:
        """Return what the branches said of (S, B) images, a row of them for every member."""
        index = torch.from_numpy(rows).to(self.held[0].logits.device)
        return [
            BranchOutput(held.features[place, index], held.logits[place, index])
            for held, place in zip(self.held, self.places, strict=True)
        ]


def train_together(members: Sequence[Member], workspace: Workspace) -> list[Outcome]:
    """Train the heads of a stack; what each leaves is what training it alone would leave.

    Raises:
        DivergedError: a member's loss is not finite; which one, training each alone will tell.
    """
    runs = [run for run, _, _ in members]
    stack = Stack([head for _, _, head in members]).to(workspace.device)
    taken = StackedOutputs([outputs for _, outputs, _ in members])
    splits = [workspace.split(run.seed) for run in runs]
    stage, batch = stage_of(runs[0]), int(runs[0].hyperparameters["batch_size"])
    looks = {
        "validation": np.stack([split.validation for split in splits]),
        "test": np.stack([split.test for split in splits]),
    }

    def steps(epoch: int) -> list[np.ndarray]:
        orders = [epoch_order(run, split.train, epoch) for run, split in zip(runs, splits, strict=True)]
        return [np.stack(rows) for rows in zip(*orders, strict=True)]

    optimizer, schedule = optimizer_of(stack, stage, len(steps(1)))
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


def _learn_epoch(
    stack: Stack,
    taken: StackedOutputs,
    steps: Sequence[np.ndarray],
    learner: tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler],
    targets: Tensor,
) -> list[dict[str, float]]:
    """Take one step for every (S, B) rows; return each member's mean loss and accuracy seen on the way."""
    stack.train()
    optimizer, schedule = learner
    sums = []
    for rows in steps:
        scores, learnt = stack(taken.take(rows)), targets[torch.from_numpy(rows).to(targets.device)]
        losses = F.cross_entropy(scores.flatten(0, 1), learnt.flatten(0, 1), reduction="none").view(rows.shape)
        optimizer.zero_grad(set_to_none=True)
        losses.mean(1).sum().backward()
        optimizer.step()
        schedule.step()
        right = (scores.detach().argmax(2) == classes_of(learnt)).sum(1)
        sums.append(torch.stack([losses.detach().sum(1), right], dim=1))
    images = sum(rows.shape[1] for rows in steps)
    seen: list[list[float]] = (torch.stack(sums).sum(0) / images).tolist()
    if not all(math.isfinite(loss) for loss, _ in seen):
        raise DivergedError("the loss of a head in a stack is not a finite number")
    return [{"train_loss": loss, "train_accuracy": right} for loss, right in seen]


@torch.inference_mode()
def _evaluate(stack: Stack, taken: StackedOutputs, looks: dict[str, np.ndarray], batch: int) -> list[Scores]:
    """Return every member's logits by split, its (S, N) rows taken in their order, `batch` at a time."""
    stack.eval()
    found: list[Scores] = [{} for _ in next(iter(looks.values()))]
    for name, rows in looks.items():
        parts = [stack(taken.take(part)) for part in np.split(rows, range(batch, rows.shape[1], batch), axis=1)]
        scores = torch.cat(parts, dim=1).float().cpu().numpy()
        for place, own in enumerate(scores):
            found[place][name] = own
    return found
