"""Tensors and settings that a run leaves and another one reads: safetensors with a checksum, nothing unpickled."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from benchmark.config import StageSettings
from benchmark.ledger import whole_file
from benchmark.plan import Run

CHECKSUM = "sha256"


class DamagedError(RuntimeError):
    """A file of tensors is missing, cut off, or not what was written."""


def save_tensors(tensors: Mapping[str, Tensor], path: Path, notes: Mapping[str, str] | None = None) -> None:
    """Write tensors and a few words about them, whole or not at all.

    Raises:
        OSError: the disk does not take them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    written = {**(notes or {})}
    with whole_file(path) as partial:
        try:
            save_file(kept, partial, metadata={**written, CHECKSUM: checksum(kept, written)})
        except SafetensorError as error:
            raise _as_os_error(error, path) from error


def load_tensors(path: Path, device: str = "cpu") -> dict[str, Tensor]:
    """Read tensors; nothing in the file is executed.

    Raises:
        DamagedError: the file is missing, cut off, or its content is not what was written.
    """
    return load_with_notes(path, device)[0]


def load_with_notes(path: Path, device: str = "cpu") -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and the words about them, as `load_tensors` does."""
    try:
        with safe_open(path, framework="pt") as file:
            notes = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as error:
        raise DamagedError(f"{path} cannot be read ({error})") from error
    if notes.pop(CHECKSUM, None) != checksum(tensors, notes):
        raise DamagedError(f"{path} is not what was written: its checksum is another one")
    return {name: tensor.to(device) for name, tensor in tensors.items()}, notes


def checksum(tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> str:
    """Hash names, types, shapes and bytes of tensors, and the words about them."""
    found = hashlib.sha256(repr(sorted(notes.items())).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _as_os_error(error: SafetensorError, path: Path) -> Exception:
    """Give the operating system's reason its own type again, which safetensors keeps in its message alone."""
    number = re.search(r"os error (\d+)", str(error), re.IGNORECASE)
    return OSError(int(number[1]), str(error), str(path)) if number else error


def stage_of(run: Run) -> StageSettings:
    """Return the optimisation settings among a run's hyperparameters."""
    return StageSettings(**{name: run.hyperparameters[name] for name in StageSettings.model_fields})
