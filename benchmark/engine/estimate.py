"""How long the runs of a plan will take and how much memory and disk they need, from what a few steps of each cost.

Where runs of the same kind are in the ledger already, their own times are used.
"""

from __future__ import annotations

import heapq
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backbones import split_replicate
from benchmark.engine.calibrate import calibrated
from benchmark.engine.costs import Costs, HeadCost, NetworkCost, training_memory
from benchmark.engine.schedule import dear_first
from benchmark.ledger import Record
from benchmark.plan import Run
from benchmark.training.images import evaluation_batch
from benchmark.training.workspace import Workspace

SINGLE = 4  # bytes of a float32


@dataclass(frozen=True)
class Estimate:
    """What is to be expected.

    Attributes:
        seconds: until the last run ends.
        memory: the most bytes that all workers hold together.
        disk: bytes that the runs leave.
        half: seconds with half the seeds, the epochs, or the height and width of images, by what is halved; the last
            takes the time of networks to go with the number of pixels.
        calibrated: how many runs were estimated from calibration, the others from runs like them in the ledger.
        scaled: networks and methods that were not measured, and whose rate was scaled by multiply-adds instead.
    """

    seconds: float
    memory: int
    disk: int
    half: dict[str, float]
    calibrated: int
    scaled: dict[str, str]


@dataclass(frozen=True)
class Share:
    """How much of a plan is reckoned with: of its epochs, and of an image's pixels."""

    epochs: float = 1.0
    pixels: float = 1.0


def estimate(
    runs: Sequence[Run],
    finished: Sequence[Record],
    workspace: Workspace,
    devices: Sequence[str],
    plugins: Sequence[Path],
) -> Estimate:
    """Estimate the runs that are to do.

    Args:
        finished: records of the same experiment.
        devices: that of every worker; workers on one device slow each other down.
    """
    costs = calibrated(runs, workspace, Counter(devices)[devices[0]], plugins)
    known: dict[tuple[str | None, tuple[str, ...], str], list[float]] = {}
    for record in finished:
        known.setdefault((record.method, tuple(record.backbones), record.kind), []).append(record.seconds)
    alike = {run.run_id: known.get((run.method, run.backbones, run.kind)) for run in runs}

    def seconds(chosen: Sequence[Run], share: Share) -> float:
        times = []
        for run in sorted(chosen, key=dear_first):
            own, on_images = alike[run.run_id], run.stage in ("backbone", "joint")
            part = share.epochs * (share.pixels if on_images else 1)
            times.append(statistics.fmean(own) * part if own else _seconds(run, costs, workspace, share))
        return _makespan(times, len(devices))

    seeds = sorted({run.seed for run in runs})
    fewer = [run for run in runs if run.seed in seeds[: (len(seeds) + 1) // 2]]
    memory = heapq.nlargest(len(devices), (_memory(run, costs, workspace) for run in runs))
    return Estimate(
        seconds=seconds(runs, Share()),
        memory=round(sum(memory)),
        disk=_disk(runs, costs, workspace),
        half={
            "seeds": seconds(fewer, Share()),
            "epochs": seconds(runs, Share(epochs=0.5)),
            "image_size": seconds(runs, Share(pixels=0.25)),
        },
        calibrated=sum(own is None for own in alike.values()),
        scaled=_scaled(costs),
    )


def _makespan(times: Sequence[float], workers: int) -> float:
    """Return when the last of these runs ends if every free worker takes the next one."""
    free = [0.0] * workers
    for seconds in times:
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return max(free)


def _networks(run: Run, costs: Costs) -> list[NetworkCost]:
    return [costs.networks[split_replicate(name)[0]] for name in run.backbones]


def _head(run: Run, costs: Costs) -> HeadCost:
    return costs.heads[str(run.method), run.backbones]


def _seconds(run: Run, costs: Costs, workspace: Workspace, share: Share) -> float:
    split = workspace.split(run.seed)
    epochs, looked_at = share.epochs * int(run.hyperparameters["epochs"]), len(split.validation) + len(split.test)
    if run.stage in ("backbone", "joint"):
        training = sum(cost.training for cost in _networks(run, costs))
        evaluation = sum(cost.evaluation for cost in _networks(run, costs))
        outputs = evaluation * len(workspace.manifest) * (run.stage == "backbone")
        return share.pixels * (epochs * (len(split.train) * training + looked_at * evaluation) + outputs)
    head, batch = _head(run, costs), int(run.hyperparameters["batch_size"])
    return epochs * run.folds * (len(split.train) * head.training + looked_at * head.evaluation) / batch


def _memory(run: Run, costs: Costs, workspace: Workspace) -> float:
    """Return the most bytes that the process of a run holds."""
    if run.stage not in ("backbone", "joint"):
        return costs.base + run.folds * _head(run, costs).outputs
    batch = int(run.hyperparameters["batch_size"])
    evaluated = evaluation_batch(workspace, run)
    at_once = workspace.micro_batches.get(run.run_id, batch)
    return costs.base + training_memory((cost.footprint for cost in _networks(run, costs)), at_once, evaluated)


def _disk(runs: Sequence[Run], costs: Costs, workspace: Workspace) -> int:
    """Return the bytes of weights, of the backbones' outputs and maps for all images, and of predictions."""
    images, classes = len(workspace.manifest), len(workspace.manifest.classes)
    maps: dict[str, int] = {}
    total = 0
    for run in runs:
        split = workspace.split(run.seed)
        total += (len(split.validation) + len(split.test)) * classes * SINGLE
        if run.stage in ("backbone", "joint"):
            total += run.parameters * SINGLE
            total += images * sum(cost.output for cost in _networks(run, costs)) * (run.stage == "backbone")
            continue
        total += run.folds * _head(run, costs).parameters * SINGLE
        if _head(run, costs).maps:
            sizes = [cost.maps for cost in _networks(run, costs)] * run.folds
            maps |= dict(zip(run.parents, sizes, strict=True))
    return total + images * sum(maps.values())


def _scaled(costs: Costs) -> dict[str, str]:
    networks = {name: cost.scaled_from for name, cost in costs.networks.items() if cost.scaled_from}
    return networks | {method: cost.scaled_from for (method, _), cost in costs.heads.items() if cost.scaled_from}
