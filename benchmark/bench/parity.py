"""Does the fast path learn as well as the plain one? The same networks trained both ways, seed by seed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import torch

from backbones import build_backbone, split_replicate
from benchmark.bench.plain import PlainTraining
from benchmark.bench.setup import Setup
from benchmark.config import UserError
from benchmark.engine.local import worker_devices
from benchmark.plan import Run, stream
from benchmark.statistics.paired import PairedTest, paired_t_test
from benchmark.training.backbone import Logits, initial_backbone, train_without_artifacts
from benchmark.training.checkpoint import stage_of
from benchmark.training.fit import epoch_scores, rules_that_take


@dataclass(frozen=True)
class Parity:
    """Test accuracy in percent of a backbone trained both ways, by seed; `test` is of fast minus plain."""

    backbone: str
    fast: list[float]
    plain: list[float]
    test: PairedTest


def parity(setup: Setup, backbone: str) -> Parity:
    """Train a backbone on every seed in the suite's way and in the plain way, and compare test accuracies.

    Initial weights and splits are the same, validation selects the epoch; order and augmentation are each way's own.

    Raises:
        UserError: fewer than two seeds.
    """
    runs = [run for run in setup.plan if run.kind == "backbone" and run.backbones == (backbone,)]
    if len(runs) < 2:
        raise UserError("two seeds or more are needed to compare the paths; raise --seeds")
    devices = worker_devices(setup.device, setup.workers, 1)
    ways = [(way, run) for run in runs for way in (_fast, _plain)]
    tasks = [(way, run, setup.on(device)) for (way, run), device in zip(ways, cycle(devices), strict=False)]
    with multiprocessing.get_context("spawn").Pool(setup.workers, torch.set_num_threads, (1,)) as pool:
        found = pool.starmap(_percent, tasks, chunksize=1)
    fast, plain = found[::2], found[1::2]
    return Parity(backbone, fast, plain, paired_t_test(np.array(fast) - np.array(plain)))


def as_text(found: Parity, images: str) -> str:
    """Return the comparison as lines for people."""
    rows = [f"{found.backbone} on {images}, test accuracy (%), fast and plain path on the same weights and splits"]
    rows += [
        f"  seed {seed}: {fast:.2f} and {plain:.2f}"
        for seed, (fast, plain) in enumerate(zip(found.fast, found.plain, strict=True))
    ]
    test, (low, high) = found.test, found.test.interval
    rows.append(
        f"  difference {test.mean:+.2f} points, 95 % interval [{low:+.2f}, {high:+.2f}], n = {len(found.fast)} seeds"
    )
    return "\n".join(rows)


def _percent(way: Callable[[Run, Setup], float], run: Run, setup: Setup) -> float:
    return 100 * way(run, setup)


def _fast(run: Run, setup: Setup) -> float:
    outcome = train_without_artifacts(run, setup.workspace)
    test = outcome.logits["validation_selected"]["test"]
    return float((test.argmax(1) == setup.workspace.labels_of(setup.workspace.split(run.seed))["test"]).mean())


def _plain(run: Run, setup: Setup) -> float:
    workspace, stage = setup.workspace, stage_of(run)
    spec, _ = split_replicate(run.backbones[0])
    plain = build_backbone(spec, len(workspace.manifest.classes)).to(workspace.device)
    plain.load_state_dict(initial_backbone(run, workspace).state_dict())  # the weights alone, not what makes it fast
    network = Logits(plain, "float32")
    torch.manual_seed(stream(run.seed, "plain path", run.backbones[0]))
    labels = workspace.labels_of(workspace.split(run.seed))
    best: dict[str, tuple[float, float]] = {}
    accuracy = 0.0
    for logits in PlainTraining(workspace, run.seed, stage, 0).epochs(network, stage.epochs):
        scores = epoch_scores(logits, labels)
        if "validation_selected" in rules_that_take(best, scores):
            accuracy = scores["test_accuracy"]
    return accuracy
