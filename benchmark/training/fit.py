"""The loop of every stage: learn for some epochs, look at validation and test after each, keep three readings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.config import StageSettings
from benchmark.ledger import SELECTIONS

Scores = dict[str, np.ndarray]
Batches = Callable[[int], Iterable[tuple[Any, Tensor]]]


class DivergedError(RuntimeError):
    """The loss is no longer a finite number."""


@dataclass
class Outcome:
    """What a stage leaves.

    Attributes:
        epochs: for every selection rule, the epoch (from 1) that it takes; 0 where nothing was learnt.
        logits: for every selection rule, (N, C) logits by split, "validation" and "test".
        state: the parameters of the validation-selected epoch.
        history: one row per epoch.
    """

    epochs: dict[str, int] = field(default_factory=dict)
    logits: dict[str, Scores] = field(default_factory=dict)
    state: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """What `fit` learns from.

    Attributes:
        batches: epoch -> its (input, labels) pairs.
        steps: batches in an epoch.
        evaluate: network -> logits by split, in evaluation mode.
        labels: (N,) labels by split.
    """

    batches: Batches
    steps: int
    evaluate: Callable[[nn.Module], Scores]
    labels: Scores


def fit(network: nn.Module, task: Task, stage: StageSettings) -> Outcome:
    """Train a network by cross entropy.

    Validation selects the epoch of highest validation accuracy, among equals the one of lowest validation
    loss; the last epoch and the best on test are kept beside it, to be reported as what they are. A network without
    parameters is evaluated once.

    Raises:
        DivergedError: the loss is not finite.
    """
    outcome = Outcome()
    if not any(True for _ in network.parameters()):
        _keep(outcome, network, task.evaluate(network), 0, SELECTIONS)
        outcome.history.append({"epoch": 0, **_epoch_scores(outcome.logits["last_epoch"], task.labels)})
        return outcome
    optimizer, schedule = _optimizer(network, stage, task.steps)
    best: dict[str, tuple[float, float]] = {}
    for epoch in range(1, stage.epochs + 1):
        rate = optimizer.param_groups[0]["lr"]
        learnt = _learn_epoch(network, task.batches(epoch), optimizer, schedule)
        logits = task.evaluate(network)
        scores = _epoch_scores(logits, task.labels)
        outcome.history.append({"epoch": epoch, "learning_rate": rate, **learnt, **scores})
        kept = ["last_epoch"]
        for rule, split in (("validation_selected", "validation"), ("best_test_epoch", "test")):
            rank = (scores[f"{split}_accuracy"], -scores[f"{split}_loss"])
            if rule not in best or rank > best[rule]:
                best[rule] = rank
                kept.append(rule)
        _keep(outcome, network, logits, epoch, kept)
    return outcome


def _learn_epoch(
    network: nn.Module,
    batches: Iterable[tuple[Any, Tensor]],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> dict[str, float]:
    """Take one step for every batch; return the mean loss and accuracy seen on the way."""
    network.train()
    sums: list[Tensor] = []
    images = 0
    for inputs, labels in batches:
        scores = network(inputs)
        loss = F.cross_entropy(scores, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        right = (scores.detach().argmax(1) == labels).sum()
        sums.append(torch.stack([loss.detach() * len(labels), right.to(loss.dtype)]))
        images += len(labels)
    total_loss, right_images = (torch.stack(sums).sum(0) / images).tolist()
    if not math.isfinite(total_loss):
        raise DivergedError("the loss is not a finite number; lower the learning rate")
    return {"train_loss": total_loss, "train_accuracy": right_images}


def _optimizer(
    network: nn.Module, stage: StageSettings, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    family = torch.optim.AdamW if stage.weight_decay else torch.optim.Adam
    optimizer = family(network.parameters(), lr=stage.learning_rate, weight_decay=stage.weight_decay, fused=True)
    total, warmup = stage.epochs * steps, stage.warmup * steps

    def factor(step: int) -> float:
        rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
        if stage.schedule == "constant":
            return rise
        done = max(0.0, step - warmup) / max(1.0, total - warmup)
        return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _epoch_scores(logits: Scores, labels: Scores) -> dict[str, float]:
    """Return loss and accuracy of each split."""
    scores = {}
    for split in ("validation", "test"):
        x, y = torch.from_numpy(logits[split]), torch.from_numpy(labels[split])
        scores[f"{split}_loss"] = float(F.cross_entropy(x, y))
        scores[f"{split}_accuracy"] = float((x.argmax(1) == y).double().mean())
    return scores


def _keep(outcome: Outcome, network: nn.Module, logits: Scores, epoch: int, rules: Iterable[str]) -> None:
    for rule in rules:
        outcome.epochs[rule] = epoch
        outcome.logits[rule] = logits
        if rule == "validation_selected":
            outcome.state = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
