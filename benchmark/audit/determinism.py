"""Do finished runs give the same predictions again? A sample of them is done once more, beside the ledger.

On a CPU they have to agree bit for bit. On a GPU without --deterministic sums are added in an order that changes, so
that scores may differ a little: the largest difference is told, and whether any prediction changed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from benchmark.config import UserError
from benchmark.ledger import Ledger, Record, load_ledger
from benchmark.plan import Run, stream
from benchmark.training import environment, train
from benchmark.training.backbone import LostWeightsError, has_weights
from benchmark.training.device import set_up_torch
from benchmark.training.workspace import Workspace

IDENTICAL, CLOSE, DIFFERENT = "identical", "within tolerance", "different"
TOLERANCE = 1e-2  # of a score's own spread, on a GPU that adds in no fixed order


@dataclass(frozen=True)
class Repetition:
    """How a run's second time compares with its first.

    Attributes:
        largest_difference: of a score, divided by the scores' standard deviation.
        changed: share of images whose predicted class is another one.
        verdict: `IDENTICAL`, `CLOSE` (a GPU, and within `TOLERANCE`) or `DIFFERENT`.
        elsewhere: what differs in the machine or the versions since the first time; empty where nothing does.
    """

    run_id: str
    label: str
    largest_difference: float
    changed: float
    verdict: str
    elsewhere: str


def repeat_sample(runs: Sequence[Run], count: int, workspace: Workspace) -> list[Repetition]:
    """Do a sample of finished runs again and compare; the ledger is left as it is.

    Runs whose parents' weights are gone are not among the sample.

    Raises:
        UserError: no run is finished, or weights that it starts from are damaged.
    """
    runs = [run for run in runs if all(has_weights(workspace.experiment, parent) for parent in run.parents)]
    if not runs:
        raise UserError("no finished run to repeat; let `ferfuse reproduce` run")
    set_up_torch(workspace.device)  # as in training, so that a repeated run is the same run
    ledger = load_ledger(workspace.experiment)
    records = {record.run_id: record for record in ledger.records}
    chosen = track(draw_sample(runs, count), "Repeating", console=Console(stderr=True))
    return [repeat_run(run, records[run.run_id], ledger, workspace) for run in chosen]


def draw_sample(runs: Sequence[Run], count: int) -> list[Run]:
    """Draw runs of every stage in turn, the same ones every time."""
    order = sorted(runs, key=lambda run: stream(0, "repetition", run.run_id))
    by_stage: dict[str, list[Run]] = {}
    for run in order:
        by_stage.setdefault(run.stage, []).append(run)
    rounds = max(len(stage) for stage in by_stage.values())
    turns = [stage[i] for i in range(rounds) for stage in by_stage.values() if i < len(stage)]
    return turns[:count]


def repeat_run(run: Run, record: Record, ledger: Ledger, workspace: Workspace) -> Repetition:
    """Do one run again in a folder of its own, on the weights that its parents left."""
    micro_batch = record.environment.get("micro_batch")
    with tempfile.TemporaryDirectory() as folder:
        apart = Path(folder)
        (apart / "artifacts").mkdir()
        for parent in run.parents:
            (apart / "artifacts" / parent).symlink_to((workspace.experiment / "artifacts" / parent).resolve())
        beside = replace(
            workspace,
            experiment=apart,
            checkpoint_seconds=float("inf"),
            micro_batches={run.run_id: micro_batch} if micro_batch else {},
        )
        try:
            outcome = train(run, beside)
        except LostWeightsError as error:
            raise UserError(f"{run.label}: {error}; the file was deleted, do the audit again without it") from error
    frame = ledger.predictions(run.run_id)
    first = frame.filter(like="logit_").to_numpy(dtype=np.float32)
    second = np.concatenate([outcome.logits["validation_selected"][name] for name in ("validation", "test")])
    return compare(run, record, first, second.astype(np.float32))


def compare(run: Run, record: Record, first: np.ndarray, second: np.ndarray) -> Repetition:
    """Compare a run's (N, C) scores of both times."""
    difference = float(np.abs(first - second).max() / (first.std() or 1.0))
    allowed = 0.0 if record.device == "cpu" else TOLERANCE
    verdict = IDENTICAL if difference == 0 else CLOSE if difference <= allowed else DIFFERENT
    now = environment()
    others = [name for name, value in now.items() if record.environment.get(name) != value]
    return Repetition(
        run_id=run.run_id,
        label=run.label,
        largest_difference=difference,
        changed=float((first.argmax(1) != second.argmax(1)).mean()),
        verdict=verdict,
        elsewhere=", ".join(others),
    )
