"""What tests of several rooms share: small synthetic faces, a tiny profile, and a ledger made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.config import Settings, load_config
from benchmark.data.synthetic import write_synthetic_faces
from benchmark.engine.outcomes import Request
from benchmark.ledger import METRICS, SELECTIONS, Record, write_experiment, write_run

TINY = {
    "data.image_size": 32,
    "data.synthetic.train": 112,
    "data.synthetic.test": 56,
    "backbones": ["resnet18", "vgg11"],
    "methods": ["late", "early", "joint", "attention-fusion", "attention-fusion-without-local"],
    "seeds": 1,
    "backbone_stage.epochs": 1,
    "fusion_stage.epochs": 2,
    "joint_stage.epochs": 1,
}
NARROW = ["wide-resnet18:width=0.25", "wide-resnet18:width=0.25#2"]  # a tenth of ResNet18's time


@pytest.fixture
def tiny_settings() -> Settings:
    """The demo profile at the smallest size that still has every stage."""
    return load_config("demo", TINY)


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 112 + 56 synthetic faces in RAF-DB's layout; not to be changed."""
    root = tmp_path_factory.mktemp("faces") / "basic"
    write_synthetic_faces(root, train=112, test=56, seed=3)
    return root


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Request:
    """The tiny experiment of the engines' tests, run without any interruption; not to be changed."""
    from benchmark.engine.experiment import run_experiment
    from tests.engine.tiny import Collect, tiny_request

    request = tiny_request(tmp_path_factory.mktemp("undisturbed"))
    run_experiment(request, Collect())
    return request


def make_record(
    kind: str,
    method: str | None,
    backbones: list[str],
    seed: int,
    accuracy: float,
    *,
    digest: str = "d" * 32,
    titles: dict[str, object] | None = None,
) -> Record:
    """A record whose metrics are all `accuracy`, as if a run had given it."""
    name = "-".join([method or "backbone", *backbones, str(seed)]).replace(":", "_").replace("=", "_")
    return Record(
        run_id=name,
        kind=kind,
        method=method,
        backbones=backbones,
        seed=seed,
        dataset="synthetic",
        dataset_digest=digest,
        profile="demo",
        hyperparameters={"epochs": 3, "batch_size": 2},
        parents=[],
        selected_epoch=2,
        metrics={rule: dict.fromkeys(METRICS, accuracy) for rule in SELECTIONS},
        parameters=1000,
        macs=2000,
        seconds=1.5,
        device="cpu",
        environment={"python": "3"},
        titles=titles or {"method": method and method.title(), "backbones": [name.upper() for name in backbones]},
    )


def make_predictions(images: int = 4, classes: int = 7) -> pd.DataFrame:
    """Predictions of a few validation and test images, the logits counting upwards."""
    frame = pd.DataFrame(
        {
            "image_id": [f"test_{i:04d}.jpg" for i in range(images)],
            "split": ["validation", *["test"] * (images - 1)],
            "label": np.arange(images, dtype=np.int16) % classes,
        }
    )
    for column in range(classes):
        frame[f"logit_{column}"] = np.linspace(0, 1, images, dtype=np.float32) + column
    return frame


def write_ledger(
    folder: Path,
    records: list[Record],
    *,
    dataset: str = "synthetic",
    methods: list[str] | None = None,
    test_images: int = 35,
) -> None:
    """Write an experiment with these records, as the runner would."""
    synthetic = dataset == "synthetic"
    write_experiment(
        folder,
        {
            "experiment": folder.name,
            "created": "2026-01-01T00:00:00+00:00",
            "command": "ferfuse reproduce",
            "context": "c",
            "main": {
                "backbones": list(dict.fromkeys(r.backbones[0] for r in records if r.kind == "backbone")),
                "methods": methods or list(dict.fromkeys(r.method for r in records if r.method)),
                "groups": [list(g) for g in dict.fromkeys(tuple(r.backbones) for r in records if r.kind == "fusion")],
            },
            "settings": {"profile": "demo", "methods": methods or [], "backbones": [], "seeds": 2},
            "dataset": {
                "name": dataset,
                "title": "synthetic faces" if synthetic else "RAF-DB",
                "digest": "d" * 32,
                "synthetic": synthetic,
                "classes": list("abcdefg"),
                "images": {"train": [10] * 7, "test": [test_images - 6, *[1] * 6]},
            },
            "plan": {"key": "k", "runs": [record.run_id for record in records]},
        },
    )
    history = pd.DataFrame({"epoch": [1, 2], "train_loss": [1.0, 0.5]})
    for record in records:
        write_run(folder, record, make_predictions(), history)
