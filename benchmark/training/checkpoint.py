"""Tensors and settings that a run leaves and another one reads."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmark.config import StageSettings
from benchmark.ledger import commit_file
from benchmark.plan import Run


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write tensors whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".tmp")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial)
    commit_file(partial, path)


def load_tensors(path: Path, device: str = "cpu") -> dict[str, Tensor]:
    """Read tensors; nothing in the file is executed."""
    return load_file(path, device=device)


def stage_of(run: Run) -> StageSettings:
    """Return the optimisation settings among a run's hyperparameters."""
    return StageSettings(**{name: run.hyperparameters[name] for name in StageSettings.model_fields})
