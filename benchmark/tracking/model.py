"""The best trained model of an experiment as an MLflow model: signature, example, weights, the code that reads them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from PIL import Image

from benchmark.ledger import Ledger, Record
from benchmark.scratch import half_made_folder
from benchmark.tracking.store import Mirror
from benchmark.trained import describe_model, gather

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("benchmark", "backbones", "fusion_methods")
REQUIREMENTS = (
    *("torch", "torchvision", "numpy", "pandas", "pillow", "pydantic", "pyyaml", "pyarrow", "safetensors"),
    *("filelock", "scipy", "scikit-learn"),
)
LOADER = "benchmark.training.inference"  # its `_load_pyfunc` reads weights by safetensors; nothing is unpickled
MODEL = "ferfuse.model"


class _Unasked:
    """MLflow's pyfunc flavour, without a prediction for the example each time a model is logged.

    That loads torch, which costs as much as half of an experiment's runs; a test asks a served model instead.
    """

    @staticmethod
    def save_model(*, validate_serving_input: bool, **words: Any) -> None:
        assert not validate_serving_input
        mlflow.pyfunc.save_model(**words)


def log_model(mirror: Mirror, ledger: Ledger, record: Record, plugins: Sequence[Path]) -> bool:
    """Log a run's trained model to its child run, unless it is there; tells whether it did.

    Input: a column `image` of files' bytes (base64 in JSON). Output: a probability for every class.
    """
    run_id = mirror.known[record.run_id].info.run_id
    run = mirror.client.get_run(run_id)
    if MODEL in run.data.tags:
        return False
    description = describe_model(ledger, record)
    classes = description["classes"]
    with half_made_folder(ledger.root / "model") as folder:
        gather(ledger, record, plugins, folder / "model")
        with mlflow.start_run(run_id=run_id):
            logged = Model.log(
                None,
                _Unasked,
                name="model",
                validate_serving_input=False,
                loader_module=LOADER,
                data_path=str(folder / "model"),
                code_paths=[str(ROOT / room) for room in ROOMS],
                signature=ModelSignature(
                    inputs=Schema([ColSpec(DataType.binary, "image")]),
                    outputs=Schema([ColSpec(DataType.double, name) for name in classes]),
                ),
                input_example=pd.DataFrame({"image": [_grey_image(description["stored_size"])]}),
                pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
            )
    mirror.client.set_terminated(run_id, "FINISHED", run.info.end_time)  # to log to a run ends it anew
    mirror.client.set_tag(run_id, MODEL, logged.model_uri)
    return True


def _grey_image(size: int) -> bytes:
    """Return a PNG of one grey: an example of the format that is nobody's photograph."""
    buffer = BytesIO()
    Image.fromarray(np.full((size, size, 3), 128, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()
