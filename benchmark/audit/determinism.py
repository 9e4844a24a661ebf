"""Do finished runs give the same predictions again? A sample of them is done once more, beside the ledger.

On a CPU, and on a GPU with --deterministic, predictions have to agree bit for bit. A GPU without it adds in an order
that changes, and training magnifies that: weights that differ by 1e-7 give scores that differ by 9 % of their spread
after 20 steps. No tolerance for scores holds there. What can be said is how many predictions change, beside how many
change from one seed to another; it is a property of the device, and no fault unless they change far more than that.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from benchmark.config import UserError
from benchmark.ledger import Ledger, Record, again, existing_experiment, load_ledger
from benchmark.plan import Run, stream
from benchmark.training import environment, recall_micro_batch, train
from benchmark.training.backbone import LostWeightsError, has_weights
from benchmark.training.device import device_name, set_up_torch
from benchmark.training.workspace import Workspace

IDENTICAL, NONDETERMINISTIC, DIFFERENT = "identical", "nondeterministic", "different"
FAR = 2.0  # times what changes between two seeds: more than that is no matter of the order of adding


@dataclass(frozen=True)
class Repetition:
    """How a run's second time compares with its first.

    Attributes:
        largest_difference: of a score, divided by the scores' standard deviation.
        accuracy, accuracy_again: fractions of the test images that the first and the second time got right.
        changed: share of test images whose predicted class is another one.
        changed_by_seed: the same between this run and those of other seeds, on average; None where there are none.
        verdict: `IDENTICAL`, `NONDETERMINISTIC` (a GPU that adds in a changing order) or `DIFFERENT`.
        elsewhere: what differs in the machine or the versions since the first time; empty where nothing does.
    """

    run_id: str
    label: str
    largest_difference: float
    accuracy: float
    accuracy_again: float
    changed: float
    changed_by_seed: float | None
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
        raise UserError(f"no finished run to repeat; `{again(existing_experiment(workspace.experiment))}` does some")
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
    with tempfile.TemporaryDirectory() as folder:
        apart = Path(folder)
        (apart / "artifacts").mkdir()
        for parent in run.parents:
            (apart / "artifacts" / parent).symlink_to((workspace.experiment / "artifacts" / parent).resolve())
        beside = replace(workspace, experiment=apart, checkpoint_seconds=float("inf"), micro_batches={})
        recall_micro_batch(record, beside)
        try:
            outcome = train(run, beside)
        except LostWeightsError as error:
            raise UserError(f"{run.label}: {error}; the file was deleted, do the audit again without it") from error
    second = np.concatenate([outcome.logits["validation_selected"][name] for name in ("validation", "test")])
    now = {
        "deterministic": None,
        **environment(),
        "device": device_name(workspace.device),
        "compiled": "yes" if outcome.compiled else None,
    }
    return compare(run, record, ledger, second.astype(np.float32), now)


def compare(run: Run, record: Record, ledger: Ledger, second: np.ndarray, now: Mapping[str, str | None]) -> Repetition:
    """Compare a run's (N, C) scores of validation and test images with those in the ledger.

    Args:
        now: device and environment of the second time.
    """
    first = ledger.predictions(run.run_id).filter(like="logit_").to_numpy(dtype=np.float32)
    said, predicted = ledger.classified(run.run_id), second.argmax(1)
    difference = float(np.abs(first - second).max() / (first.std() or 1.0))
    changed = float((predicted != said.predicted)[said.is_test].mean())
    by_seed = changed_by_seed(record, ledger)
    then = {"device": record.device, **record.environment}
    if difference == 0:
        verdict = IDENTICAL
    elif is_exact(run, then, now) or (by_seed is not None and changed > FAR * by_seed):
        verdict = DIFFERENT
    else:
        verdict = NONDETERMINISTIC
    return Repetition(
        run_id=run.run_id,
        label=run.label,
        largest_difference=difference,
        accuracy=float(said.is_right[said.is_test].mean()),
        accuracy_again=float((predicted == said.labels)[said.is_test].mean()),
        changed=changed,
        changed_by_seed=by_seed,
        verdict=verdict,
        elsewhere=", ".join(name for name, value in now.items() if then.get(name) != value),
    )


def is_exact(run: Run, then: Mapping[str, str | None], now: Mapping[str, str | None]) -> bool:
    """Tell whether both times add in the same fixed order, which a compiled step changes.

    On a GPU a head on stored outputs may have been trained in a stack, whose batched products round in another way than
    those of the head alone, which is how it is done again.
    """
    if then["device"] != now["device"] or then.get("compiled") != now["compiled"]:
        return False
    if now["device"] == "cpu":
        return True
    return then.get("deterministic") == now["deterministic"] == "yes" and run.stage != "stored"


def changed_by_seed(record: Record, ledger: Ledger) -> float | None:
    """Return on which share of common test images a run and one of another seed predict another class, on average."""
    same = (record.kind, record.method, record.backbones, record.hyperparameters)
    own = _predicted(record, ledger)
    shares = []
    for other in ledger.records:
        if other.seed != record.seed and (other.kind, other.method, other.backbones, other.hyperparameters) == same:
            first, second = own.align(_predicted(other, ledger), join="inner")
            shares += [float((first != second).mean())] if len(first) else []
    return float(np.mean(shares)) if shares else None


def _predicted(record: Record, ledger: Ledger) -> pd.Series[int]:
    """Return the predicted class of every test image, by its id."""
    said = ledger.classified(record.run_id)
    return pd.Series(said.predicted, index=said.image_ids.to_pylist())[said.is_test]
