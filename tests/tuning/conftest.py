"""A search's surroundings made by hand: stored outputs whose test rows are poison, so that no backbone is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.config import Settings, load_config
from benchmark.data.formats.raf_db import read_raf_db
from benchmark.data.store import stored_images
from benchmark.ledger import artifact_folder
from benchmark.plan import Run, make_plan
from benchmark.training.backbone import OUTPUTS
from benchmark.training.checkpoint import save_tensors
from benchmark.training.workspace import Workspace
from fusion_methods import load_plugin
from tests.conftest import TINY

PLANTED = Path(__file__).parent / "planted_methods.py"
Prepare = Callable[[Sequence[str], Path], tuple[list[Run], Workspace]]
DIGEST = "e" * 32


@pytest.fixture(scope="session")
def prepare(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepare:
    """Return a plan of the methods and a workspace in a folder, with outputs for every backbone run of the plan."""
    load_plugin(PLANTED)
    manifest = read_raf_db(faces)
    images = stored_images(manifest, 32, tmp_path_factory.mktemp("images"))

    def made(methods: Sequence[str], folder: Path) -> tuple[list[Run], Workspace]:
        settings: Settings = load_config(
            "demo", {**TINY, "methods": list(methods), "seeds": 2, "fusion_stage.epochs": 3}
        )
        runs = make_plan(settings, DIGEST, len(manifest.classes), 112)
        workspace = Workspace(settings, manifest, DIGEST, images, folder, "cpu")
        for place, run in enumerate(run for run in runs if run.kind == "backbone"):
            save_tensors(outputs(manifest.labels, place), artifact_folder(folder, run.run_id) / OUTPUTS)
        return runs, workspace

    return made


def outputs(labels: np.ndarray, place: int) -> dict[str, torch.Tensor]:
    """Outputs that tell the class of a training image fairly well, and are not a number for a test image."""
    generator = torch.Generator().manual_seed(place)
    truth = torch.nn.functional.one_hot(torch.from_numpy(labels), 7).float()
    logits = 2 * truth + torch.randn(len(labels), 7, generator=generator)
    features = torch.cat([truth, torch.zeros(len(labels), 505)], 1) + torch.randn(len(labels), 512, generator=generator)
    logits[112:], features[112:] = float("nan"), float("nan")
    return {"features": features, "logits": logits}


def one_image_fewer(workspace: Workspace, folder: Path) -> Workspace:
    """Return the workspace with an array on disk that ends before the first test image."""
    path = folder / "training.npy"
    np.save(path, np.load(workspace.images_file)[: int((~workspace.manifest.is_test).sum())])
    return replace(workspace, images_file=path)
