"""The loop of every stage: learn for some epochs, look at validation and test after each, keep three readings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import BranchOutput
from benchmark.config import StageSettings
from benchmark.ledger import SELECTIONS
from benchmark.training.step import BatchLoss, batch_loss, compiled_loss

Scores = dict[str, np.ndarray]
Batches = Callable[[int], Iterable[tuple[Any, Tensor]]]
LARGEST_LOSS = 1e4  # mean cross entropy of an epoch; a network that knows nothing has ln C


class DivergedError(RuntimeError):
    """The loss or a score is no longer a number that means something."""


class BatchTooLargeError(RuntimeError):
    """The device's memory does not hold a training step of so many images."""


@dataclass
class Outcome:
    """What a stage leaves.

    Attributes:
        epochs: for every selection rule, the epoch (from 1) that it takes; 0 where nothing was learnt.
        logits: for every selection rule, (N, C) logits by split, "validation" and "test".
        state: the parameters of the validation-selected epoch, on the device until the stage has ended.
        history: one row per epoch.
        seconds_before: what an interrupted attempt had spent on the epochs that this one goes on from.
        compiled: whether steps were compiled by torch.
    """

    epochs: dict[str, int] = field(default_factory=dict)
    logits: dict[str, Scores] = field(default_factory=dict)
    state: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    seconds_before: float = 0.0
    compiled: bool = False


@dataclass(frozen=True)
class Task:
    """What `fit` learns from.

    Attributes:
        batches: epoch -> its (input, targets) pairs; targets are (B,) classes or (B, C) distributions over them.
        steps: batches in an epoch.
        evaluate: network -> logits by split, in evaluation mode.
        labels: (N,) labels by split.
        loss_of: what a step takes the gradient of.
        before_step: called between the gradient and the step that is taken by it.
    """

    batches: Batches
    steps: int
    evaluate: Callable[[nn.Module], Scores]
    labels: Scores
    loss_of: BatchLoss = batch_loss
    before_step: Callable[[], None] | None = None


@dataclass
class Learning:
    """A stage under way: with this and the seeds, it goes on as if it had never stopped.

    Attributes:
        epoch: the last one that is complete.
        best: for each selection rule, the (accuracy, -loss) of the epoch that it takes so far.
        loss_of, before_step: as the task has them, the loss perhaps compiled.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    outcome: Outcome
    epoch: int = 0
    best: dict[str, tuple[float, float]] = field(default_factory=dict)
    loss_of: BatchLoss = batch_loss
    before_step: Callable[[], None] | None = None


class Checkpoint(Protocol):
    """Where a stage is kept between epochs."""

    def restore(self, learning: Learning) -> None:
        """Set a stage to the last epoch that is kept; leave it as it is where there is none."""

    def offer(self, learning: Learning) -> None:
        """Keep a stage as it is after an epoch, if it is time."""


@dataclass(frozen=True)
class Execution:
    """How a machine gets through a stage.

    Attributes:
        checkpoint: where it is kept between epochs; None keeps nothing.
        micro_batch: images that go through the network at a time; a step still learns from the whole batch, whose
            gradients are added up. None takes the batch at once.
        compiled: whether torch compiles a step's loss and gradients.
        after_epoch: told each epoch, the number of epochs, and the accuracy on validation.
    """

    checkpoint: Checkpoint | None = None
    micro_batch: int | None = None
    compiled: bool = False
    after_epoch: Callable[[int, int, float], None] | None = None


def fit(network: nn.Module, task: Task, stage: StageSettings, execution: Execution | None = None) -> Outcome:
    """Train a network by the task's loss, most often the cross entropy: -Σ_c q_c log p_c for a distribution q.

    Where a target is the distribution of an image's votes, this is the "cross-entropy loss" of Barsoum et al. 2016,
    Training deep networks for facial expression recognition with crowd-sourced label distribution; accuracy on the way
    counts the class that has most of it.

    Validation selects the epoch of highest validation accuracy, among equals the one of lowest validation
    loss; the last epoch and the best on test are kept beside it, to be reported as what they are. A network without
    parameters is evaluated once.

    Raises:
        DivergedError: the loss is not finite or beyond all bounds, or a score is not a number.
        BatchTooLargeError: the device has not enough memory for a training step.
    """
    execution = execution or Execution()
    outcome = Outcome()
    if not any(True for _ in network.parameters()):
        _keep(outcome, network, _evaluated(network, task), 0, SELECTIONS)
        outcome.history.append({"epoch": 0, **epoch_scores(outcome.logits["last_epoch"], task.labels)})
        return _on_cpu(outcome)
    learning = Learning(network, *optimizer_of(network, stage, task.steps), outcome)
    learning.loss_of, learning.before_step = task.loss_of, task.before_step
    if execution.compiled and execution.micro_batch is None and task.loss_of is batch_loss:
        learning.loss_of = compiled_loss(network, *next(iter(task.batches(1))))
        outcome.compiled = learning.loss_of is not batch_loss
    if execution.checkpoint:
        execution.checkpoint.restore(learning)
    for epoch in range(learning.epoch + 1, stage.epochs + 1):
        rate = learning.optimizer.param_groups[0]["lr"]
        learnt = _learn_epoch(learning, task.batches(epoch), execution.micro_batch)
        logits = _evaluated(network, task)
        scores = epoch_scores(logits, task.labels)
        outcome.history.append({"epoch": epoch, "learning_rate": rate, **learnt, **scores})
        _keep(outcome, network, logits, epoch, rules_that_take(learning.best, scores))
        learning.epoch = epoch
        if execution.after_epoch:
            execution.after_epoch(epoch, stage.epochs, scores["validation_accuracy"])
        if execution.checkpoint and epoch < stage.epochs:
            execution.checkpoint.offer(learning)
    return _on_cpu(outcome)


def _on_cpu(outcome: Outcome) -> Outcome:
    outcome.state = {name: value.cpu() for name, value in outcome.state.items()}
    return outcome


def rules_that_take(best: dict[str, tuple[float, float]], scores: dict[str, float]) -> list[str]:
    """Return the selection rules that prefer this epoch to all before it, and note it in `best`."""
    taken = ["last_epoch"]
    for rule, split in (("validation_selected", "validation"), ("best_test_epoch", "test")):
        rank = (scores[f"{split}_accuracy"], -scores[f"{split}_loss"])
        if rule not in best or rank > best[rule]:
            best[rule] = rank
            taken.append(rule)
    return taken


def _evaluated(network: nn.Module, task: Task) -> Scores:
    logits = task.evaluate(network)
    if any(np.isnan(scores).any() for scores in logits.values()):
        raise DivergedError("a score is not a number; lower the learning rate, or look into the method")
    return logits


def _learn_epoch(
    learning: Learning, batches: Iterable[tuple[Any, Tensor]], micro_batch: int | None
) -> dict[str, float]:
    """Take one step for every batch; return the mean loss and accuracy seen on the way."""
    learning.network.train()
    sums: list[Tensor] = []
    images = 0
    for inputs, targets in batches:
        try:
            sums += _step(learning, micro_batches(inputs, targets, micro_batch), len(targets))
        except torch.OutOfMemoryError as error:
            raise BatchTooLargeError(f"out of memory: {str(error).splitlines()[0]}") from error
        images += len(targets)
    total_loss, right_images = (torch.stack(sums).sum(0) / images).tolist()
    if not math.isfinite(total_loss):
        raise DivergedError("the loss is not a finite number; lower the learning rate")
    if total_loss > LARGEST_LOSS:
        raise DivergedError(f"the loss grew to {total_loss:.3g}; lower the learning rate")
    return {"train_loss": total_loss, "train_accuracy": right_images}


def _step(learning: Learning, parts: Iterable[tuple[Any, Tensor]], images: int) -> list[Tensor]:
    """Learn from one batch, its parts' gradients added up; return each part's (summed loss, right images)."""
    learning.optimizer.zero_grad(set_to_none=True)
    sums = []
    for inputs, targets in parts:
        loss, seen = learning.loss_of(learning.network, inputs, targets)
        (loss if len(targets) == images else loss * (len(targets) / images)).backward()
        sums.append(seen)
    if learning.before_step:
        learning.before_step()
    learning.optimizer.step()
    learning.schedule.step()
    return sums


def micro_batches(inputs: Any, targets: Tensor, size: int | None) -> Iterator[tuple[Any, Tensor]]:
    """Cut a batch into near-equal parts of at most `size` images, and at least two for batch normalisation.

    `inputs` are images, or the branches' outputs for them; whatever else a method learns from is left whole.
    """
    count = 1 if size is None else max(1, min(-(-len(targets) // size), len(targets) // 2))
    if isinstance(inputs, Tensor):
        parts: list[Any] = list(inputs.tensor_split(count))
    elif all(isinstance(branch, BranchOutput) for branch in inputs):
        parts = [list(branches) for branches in zip(*(_split(branch, count) for branch in inputs), strict=True)]
    else:
        parts, count = [inputs], 1
    return zip(parts, targets.tensor_split(count), strict=True)


def _split(branch: BranchOutput, count: int) -> list[BranchOutput]:
    maps = [None] * count if branch.maps is None else branch.maps.tensor_split(count)
    pieces = zip(branch.features.tensor_split(count), branch.logits.tensor_split(count), maps, strict=True)
    return [BranchOutput(*piece) for piece in pieces]


def optimizer_of(
    network: nn.Module, stage: StageSettings, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Return the optimiser of a stage with so many steps in an epoch, and the schedule of its rate."""
    family = torch.optim.AdamW if stage.weight_decay else torch.optim.Adam
    optimizer = family(network.parameters(), lr=stage.learning_rate, weight_decay=stage.weight_decay, fused=True)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rate_factor(stage, steps))


def rate_factor(stage: StageSettings, steps: int) -> Callable[[int], float]:
    """Return what share of a stage's rate a step takes, by its number from 0; `steps` are in an epoch."""
    total, warmup = stage.epochs * steps, stage.warmup * steps

    def factor(step: int) -> float:
        rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
        if stage.schedule == "constant":
            return rise
        done = max(0.0, step - warmup) / max(1.0, total - warmup)
        return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    return factor


def epoch_scores(logits: Scores, labels: Scores) -> dict[str, float]:
    """Return loss and accuracy of each split."""
    scores = {}
    for split in ("validation", "test"):
        x, y = torch.from_numpy(logits[split]), torch.from_numpy(labels[split])
        scores[f"{split}_loss"] = float(F.cross_entropy(x, y))
        scores[f"{split}_accuracy"] = float((x.argmax(1) == y).double().mean())
    return scores


def _keep(outcome: Outcome, network: nn.Module, logits: Scores, epoch: int, rules: Sequence[str]) -> None:
    keep_epoch(outcome, logits, epoch, rules)
    if "validation_selected" in rules:
        outcome.state = {name: value.detach().clone() for name, value in network.state_dict().items()}


def keep_epoch(outcome: Outcome, logits: Scores, epoch: int, rules: Sequence[str]) -> None:
    """Keep an epoch's logits for the selection rules that take it."""
    for rule in rules:
        outcome.epochs[rule] = epoch
        outcome.logits[rule] = logits
