"""A plan of fusion runs whose branches' outputs are random numbers, so that no network has to be trained."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmark.config import load_config
from benchmark.data.sources import open_dataset
from benchmark.data.store import stored_images
from benchmark.ledger import artifact_folder
from benchmark.plan import Run, make_plan
from benchmark.training.backbone import OUTPUTS
from benchmark.training.checkpoint import save_tensors
from benchmark.training.workspace import Workspace
from tests.conftest import TINY


def place_of_random_outputs(folder: Path, methods: list[str]) -> tuple[list[Run], Workspace]:
    """Return the whole plan of two pairs and two seeds, and where its runs find outputs with a class in them."""
    names = ["resnet18", "resnet18#2", "resnet18#3"]
    groups = [names[:2], names[1:]]
    changes = {"backbones": names, "groups": groups, "methods": methods, "seeds": 2, "fusion_stage.epochs": 3}
    settings = load_config("demo", {**TINY, **changes})
    manifest = open_dataset(settings.data, folder).manifest
    images = stored_images(manifest, settings.data.image_size, folder)
    workspace = Workspace(settings, manifest, "d" * 32, images, folder / "results", "cpu")
    plan = make_plan(settings, "d" * 32, len(manifest.classes), int((~manifest.is_test).sum()))
    labels = torch.from_numpy(manifest.labels)
    for number, run in enumerate(run for run in plan if run.kind == "backbone"):
        generator = torch.Generator().manual_seed(number)
        features = torch.rand(len(manifest), 512, generator=generator)
        features[torch.arange(len(manifest)), labels] += 0.5
        logits = torch.randn(len(manifest), len(manifest.classes), generator=generator)
        save_tensors(
            {"features": features, "logits": logits}, artifact_folder(workspace.experiment, run.run_id) / OUTPUTS
        )
    return plan, workspace
