"""Training: one run of the plan becomes one record of the ledger."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
import torch
import torchvision

from benchmark.ledger import Record, is_finished, read_record, write_run
from benchmark.plan import Run
from benchmark.statistics.metrics import all_metrics
from benchmark.training.backbone import train_backbone
from benchmark.training.device import device_name, is_shared
from benchmark.training.fit import BatchTooLargeError, Outcome
from benchmark.training.fusion import train_cross_fitted, train_end_to_end, train_on_stored_outputs
from benchmark.training.latency import milliseconds_per_image
from benchmark.training.resume import checkpoint_path
from benchmark.training.workspace import Workspace

WAITS, PAUSE = 10, 30.0  # tries of a whole batch beside other processes on a GPU, and seconds before each
SMALLEST_MICRO_BATCH = 2  # images; batch normalisation needs two
ACCUMULATED = (
    "the batch did not fit into memory: gradients of micro-batches were added up, batch normalisation saw each"
)
STAGES: dict[str, Callable[[Run, Workspace], Outcome]] = {
    "backbone": train_backbone,
    "stored": train_on_stored_outputs,
    "cross-fitted": train_cross_fitted,
    "joint": train_end_to_end,
}


def execute(run: Run, workspace: Workspace) -> Record:
    """Do one run and write it to the ledger; returns the record.

    A run that is in the ledger already is done for what it leaves beside, its weights, in the micro-batches of the
    first time; the record stays.
    """
    started = time.perf_counter()
    finished = is_finished(workspace.experiment, run.run_id)
    if finished:
        record = read_record(workspace.experiment, run.run_id)
        recall_micro_batch(record, workspace)
    outcome = train(run, workspace)
    if not finished:
        seconds = round(outcome.seconds_before + time.perf_counter() - started, 3)
        record = leave_record(run, outcome, seconds, workspace)
    checkpoint_path(workspace.experiment, run.run_id).unlink(missing_ok=True)
    return record


def leave_record(run: Run, outcome: Outcome, seconds: float, workspace: Workspace) -> Record:
    """Write what a run came to into the ledger; returns the record."""
    record = _record_of(run, outcome, seconds, workspace)
    predictions = _predictions(outcome, workspace, run.seed)
    write_run(workspace.experiment, record, predictions, pd.DataFrame(outcome.history))
    return record


def _record_of(run: Run, outcome: Outcome, seconds: float, workspace: Workspace) -> Record:
    return Record(
        run_id=run.run_id,
        kind=run.kind,
        method=run.method,
        backbones=list(run.backbones),
        seed=run.seed,
        dataset=workspace.manifest.dataset,
        dataset_digest=workspace.dataset_digest,
        profile=workspace.settings.profile,
        hyperparameters=run.hyperparameters,
        parents=list(run.parents),
        selected_epoch=outcome.epochs["validation_selected"],
        metrics=_test_metrics(outcome, workspace, run.seed),
        parameters=run.parameters,
        macs=run.macs,
        seconds=seconds,
        device=device_name(workspace.device),
        environment={**environment(), **_compiled(outcome), **_micro_batches(run, workspace)},
        titles=run.titles,
        batch_dependent=run.batch_dependent,
        milliseconds=milliseconds_per_image(run, workspace),
    )


def train(run: Run, workspace: Workspace) -> Outcome:
    """Train what a run is about; where memory does not hold its batch, once more in micro-batches of half the size.

    The steps stay those of the whole batch: the gradients of its parts are added up. Batch normalisation sees each part
    alone, so that a neighbour's memory should not decide: where other processes hold some of the GPU's, the whole
    batch is tried again up to `WAITS` times, `PAUSE` seconds apart.

    Raises:
        BatchTooLargeError: not even the smallest micro-batch fits.
        torch.OutOfMemoryError: memory ran out outside a step, where smaller batches do not help.
    """
    waits = 0
    while True:
        try:
            return STAGES[run.stage](run, workspace)
        except (BatchTooLargeError, torch.OutOfMemoryError) as error:
            size = workspace.micro_batches.get(run.run_id, int(run.hyperparameters["batch_size"]))
            wait = waits < WAITS and is_shared(workspace.device)
            if not wait and (size <= SMALLEST_MICRO_BATCH or not isinstance(error, BatchTooLargeError)):
                raise
        # Here the failed step's tensors are gone with its exception.
        workspace.outputs.clear()
        torch.cuda.empty_cache()
        if wait:
            waits += 1
            what = f"{run.label}: out of memory beside other processes on {workspace.device}"
            logging.getLogger(__name__).warning("%s; try %d of %d in %g s", what, waits, WAITS, PAUSE)
            time.sleep(PAUSE)
        else:
            workspace.micro_batches[run.run_id] = max(SMALLEST_MICRO_BATCH, size // 2)


def recall_micro_batch(record: Record, workspace: Workspace) -> None:
    """Have a finished run trained again in the micro-batches that its record names."""
    if size := record.environment.get("micro_batch"):
        workspace.micro_batches[record.run_id] = int(size)


def _compiled(outcome: Outcome) -> dict[str, str]:
    return {"compiled": "yes"} if outcome.compiled else {}


def _micro_batches(run: Run, workspace: Workspace) -> dict[str, object]:
    size = workspace.micro_batches.get(run.run_id)
    return {} if size is None else {"micro_batch": size, "micro_batch_note": ACCUMULATED}


@cache
def environment() -> dict[str, str]:
    """Return the versions that numbers may depend on, and whether a GPU adds in a fixed order."""
    order = {"deterministic": "yes"} if torch.are_deterministic_algorithms_enabled() else {}
    return {
        **order,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
    }


def _test_metrics(outcome: Outcome, workspace: Workspace, seed: int) -> dict[str, dict[str, float]]:
    labels = workspace.manifest.labels[workspace.split(seed).test]
    return {rule: all_metrics(logits["test"], labels) for rule, logits in outcome.logits.items()}


def _predictions(outcome: Outcome, workspace: Workspace, seed: int) -> pd.DataFrame:
    """Return the selected epoch's logits of validation and test, one row per image."""
    split, manifest = workspace.split(seed), workspace.manifest
    frames = []
    for name, rows in (("validation", split.validation), ("test", split.test)):
        logits = outcome.logits["validation_selected"][name]
        frame = pd.DataFrame({"image_id": [manifest.image_ids[row] for row in rows], "split": name})
        frame["label"] = manifest.labels[rows].astype(np.int16)
        for column in range(logits.shape[1]):
            frame[f"logit_{column}"] = logits[:, column].astype(np.float32)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)
