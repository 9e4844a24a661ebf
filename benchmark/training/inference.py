"""A trained model on its own: images -> class probabilities, as `ferfuse predict` and a model server give them."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from backbones import BranchOutput
from backbones.shapes import build_with_weights
from benchmark.config import UserError
from benchmark.data.augmentation import to_network_input
from benchmark.data.scan import decode
from benchmark.plugins import load_plugins, loaded_sources
from benchmark.trained import DESCRIPTION, END_TO_END_WEIGHTS, FORMAT, FUSION_WEIGHTS
from benchmark.training.checkpoint import load_tensors
from fusion_methods import build_method

IMAGE = "image"  # the input column of a served model


class TrainedModel(nn.Module):
    """Average the probabilities of every fold's branches and head; one fold unless the method is cross-fitted.

    (B, 3, H, W) -> (B, C) probabilities. `branches` holds each fold's backbones, `heads` its fusion module, or
    nothing where a backbone answers alone.
    """

    def __init__(self, branches: Sequence[Sequence[nn.Module]], heads: Sequence[nn.Module | None]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(network for fold in branches for network in fold)
        self.heads = nn.ModuleList(nn.Identity() if head is None else head for head in heads)
        self.branches = [list(fold) for fold in branches]
        self.alone = heads[0] is None

    def forward(self, images: Tensor) -> Tensor:
        return self.join([[backbone(images) for backbone in fold] for fold in self.branches])

    def join(self, outputs: Sequence[Sequence[BranchOutput]]) -> Tensor:
        """Return the (B, C) probabilities from what every fold's backbones said."""
        folds = zip(outputs, self.heads, strict=True)
        scores = [said[0].logits if self.alone else head(said) for said, head in folds]
        return torch.stack(scores).double().softmax(dim=2).mean(dim=0)


class Predictor:
    """A model's folder as it is used: decodes images the way the ledger's were, and names the classes.

    Raises:
        UserError: the folder is no model, one of another format, or one whose plug-in is not here as it was.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / DESCRIPTION
        if not path.is_file():
            raise UserError(f"{folder} holds no trained model ({DESCRIPTION} is missing)")
        self.description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if self.description["format"] != FORMAT:
            raise UserError(f"{path} has format {self.description['format']}; this version reads format {FORMAT}")
        _load_sources(self.description, folder)
        self.classes: list[str] = self.description["classes"]
        try:
            self.model = _build(self.description, folder).eval()
        except ValueError as error:  # a method or backbone that this version does not have
            raise UserError(f"{error}; it was run by {self.description['run_id']}, choose another by --run") from error

    @torch.inference_mode()
    def probabilities(self, images: Sequence[Path | io.BytesIO]) -> np.ndarray:
        """Return (N, C) probabilities; images go through one at a time, so that none depends on the others."""
        size, stored = self.description["image_size"], self.description["stored_size"]
        rows = []
        for image in images:
            pixels = torch.from_numpy(decode(*_content(image), stored)[None].copy())
            rows.append(self.model(to_network_input(pixels, size)))
        return torch.cat(rows).numpy()

    def predict(self, frame: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return a column of probabilities for every class; `image` holds files' bytes, or those in base64."""
        images = [io.BytesIO(_bytes(value)) for value in frame[IMAGE]]
        return pd.DataFrame(self.probabilities(images), columns=self.classes)


def _load_pyfunc(path: str) -> Predictor:
    """Open a model's folder for MLflow, which looks for this name; nothing is unpickled."""
    return Predictor(Path(path))


def _bytes(value: bytes | str) -> bytes:
    return base64.b64decode(value) if isinstance(value, str) else value


def _content(image: Path | io.BytesIO) -> tuple[bytes, str]:
    """Return an image's bytes, and what a message calls it."""
    if not isinstance(image, Path):
        return image.read(), "the image"
    try:
        return image.read_bytes(), str(image)
    except OSError as error:
        raise UserError(f"{image} cannot be read ({error.strerror}); give the path of an image file") from error


def _load_sources(description: dict[str, Any], folder: Path) -> None:
    """Load the plug-ins that lie in a model's folder, unless they are loaded already, as they were when it was trained.

    Raises:
        UserError: one is missing, or here in another version.
    """
    wanted: dict[str, str] = description["sources"]
    if any(name not in loaded_sources() for name in wanted):
        load_plugins([folder / name for name in description["plugins"]])
    loaded = loaded_sources()
    for name, digest in wanted.items():
        if name not in loaded or loaded[name].digest != digest:
            raise UserError(
                f"run {description['run_id']} was trained with {name} as of version {digest} of its plug-in, which is "
                "not here; give that version by --plugin, or choose another run by --run"
            )


def _build(description: dict[str, Any], folder: Path) -> TrainedModel:
    """Build the networks and fill in the weights of the folder."""
    names, classes = description["backbones"], len(description["classes"])
    fused = load_tensors(folder / END_TO_END_WEIGHTS) if description["end_to_end"] else {}

    def network(place: int, name: str) -> nn.Module:
        weights = _below(fused, f"backbones.{place}.") or load_tensors(folder / f"backbone{place}.safetensors")
        return build_with_weights(name, classes, weights)

    count = description["folds"]
    networks = [network(place, name) for place, name in enumerate(names * count)]
    folds = [networks[start : start + len(names)] for start in range(0, len(networks), len(names))]
    dims = tuple(int(backbone.feature_dim) for backbone in folds[0])  # type: ignore[arg-type]
    method, settings = description["method"], description["method_settings"]
    heads = [None if method is None else build_method(method, settings, dims, classes) for _ in folds]
    state = _below(fused, "fusion.")
    if not fused and (folder / FUSION_WEIGHTS).is_file():
        state = load_tensors(folder / FUSION_WEIGHTS)
    for place, head in enumerate(heads if state else []):
        assert head is not None
        head.load_state_dict(state if count == 1 else _below(state, f"heads.{place}."))
    return TrainedModel(folds, heads)


def _below(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
