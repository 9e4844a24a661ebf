"""Training: one run of the plan becomes one record of the ledger."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
import torch
import torchvision

from benchmark.ledger import Record, write_run
from benchmark.plan import Run
from benchmark.statistics.metrics import all_metrics
from benchmark.training.backbone import train_backbone
from benchmark.training.fit import Outcome
from benchmark.training.fusion import train_cross_fitted, train_end_to_end, train_on_stored_outputs
from benchmark.training.latency import milliseconds_per_image
from benchmark.training.workspace import Workspace

STAGES: dict[str, Callable[[Run, Workspace], Outcome]] = {
    "backbone": train_backbone,
    "stored": train_on_stored_outputs,
    "cross-fitted": train_cross_fitted,
    "joint": train_end_to_end,
}


def execute(run: Run, workspace: Workspace) -> Record:
    """Do one run and write it to the ledger; returns the record."""
    started = time.perf_counter()
    outcome = STAGES[run.stage](run, workspace)
    record = Record(
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
        seconds=round(time.perf_counter() - started, 3),
        device=_device_name(workspace.device),
        environment=environment(),
        titles=run.titles,
        batch_dependent=run.batch_dependent,
        milliseconds=milliseconds_per_image(run, workspace),
    )
    write_run(
        workspace.experiment,
        record,
        _predictions(outcome, workspace, run.seed),
        pd.DataFrame(outcome.history),
    )
    return record


@cache
def environment() -> dict[str, str]:
    """Return the versions that numbers may depend on."""
    return {
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


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"
