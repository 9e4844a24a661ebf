"""Initial weights of a backbone: random, ImageNet's as torchvision publishes them, or a file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from numpy._core import multiarray
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import models

from backbones._registry import Backbone
from backbones.timm_network import PREFIX

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "ema_state_dict")
NUMPY_SCALARS: list[Any] = [
    np.dtype,
    multiarray.scalar,  # what pickles write for a NumPy number, such as the best accuracy beside the weights
    (multiarray.scalar, "numpy.core.multiarray.scalar"),
    *(type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32", "bool")),
]


@dataclass(frozen=True)
class InitialWeights:
    """Where a backbone starts: `path` is None for random weights; `digest` tells two files apart."""

    path: Path | None
    digest: str


def find_weights(source: str, backbone: Backbone) -> InitialWeights:
    """Turn `none`, `imagenet` or a path into weights that are on this machine.

    A path may hold `{backbone}`, which stands for the backbone's name. ImageNet weights are taken from torch's
    own cache, or downloaded into it from where torchvision publishes them.

    Raises:
        ValueError: they cannot be had; the message says where to put the file.
    """
    if source == "none":
        return InitialWeights(None, "none")
    if source == "imagenet":
        return _imagenet(backbone)
    path = Path(source.replace("{backbone}", backbone.name))
    if not path.is_file():
        raise ValueError(
            f"no weights file {path} for {backbone.name}; "
            "give the path of a .pth or .safetensors file, or use weights=none"
        )
    return _from_file(path)


def _from_file(path: Path) -> InitialWeights:
    return InitialWeights(path, hashlib.sha256(path.read_bytes()).hexdigest()[:16])


def _imagenet(backbone: Backbone) -> InitialWeights:
    if backbone.pretrained is None:
        raise ValueError(f"nobody publishes ImageNet weights of {backbone.name}; use weights=none or a file")
    if backbone.pretrained.startswith(PREFIX):
        return _of_timm(backbone, backbone.pretrained.removeprefix(PREFIX))
    weights = models.get_weight(backbone.pretrained)
    path = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(weights.url, str(path), hash_prefix=path.stem.rpartition("-")[2])
        except (URLError, OSError, RuntimeError) as error:
            raise ValueError(
                f"ImageNet weights of {backbone.name} cannot be downloaded here; "
                f"put {path.name} into {path.parent}, or use weights=none"
            ) from error
    return InitialWeights(path, backbone.pretrained)


def _of_timm(backbone: Backbone, source: str) -> InitialWeights:
    """Take timm's weights from the cache of the Hugging Face hub, or download them into it."""
    try:
        from huggingface_hub import hf_hub_download

        path = Path(hf_hub_download(source, "model.safetensors"))
    except Exception as error:  # the hub raises a dozen unrelated types where there is no network or no such file
        raise ValueError(
            f"weights {source} of {backbone.name} cannot be downloaded here; "
            "give a file as weights={" + backbone.name + ": FILE}, or use weights=none"
        ) from error
    return _from_file(path)


def load_weights(network: nn.Module, path: Path) -> None:
    """Copy the tensors of a `.safetensors` or torch file into a backbone.

    From a file with torchvision's names the published classifier is left out: the head keeps its random start. Names
    may carry a prefix (`module.`, `module.feature.`, `encoder.`), and layers beside the network's own are left out.

    The file is one that this suite wrote, or one with torchvision's parameter names. Nothing in it is executed.

    Raises:
        ValueError: not a file of finite floating-point tensors, or not of this network.
    """
    tensors = _read_tensors(path)
    own = network.state_dict()
    if not set(tensors) <= set(own):
        try:
            tensors = _renamed(tensors, network, own)
        except ValueError as error:
            raise ValueError(f"{path} does not hold this network's weights ({error})") from error
    wrong = [name for name, tensor in tensors.items() if name not in own or own[name].shape != tensor.shape]
    missing = [name for name in own if name not in tensors and not name.startswith("head.")]
    optional = "num_batches_tracked"  # absent from files written by early torch versions
    if wrong or [name for name in missing if not name.endswith(optional)]:
        raise ValueError(f"{path} does not hold this network's weights (first difference: {(wrong + missing)[0]})")
    for name, tensor in tensors.items():
        if not own[name].is_floating_point():
            continue
        if not tensor.is_floating_point():
            raise ValueError(f"{path}: {name} is of type {tensor.dtype}, whose scale is not in the file; give float32")
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{path}: {name} holds numbers that are not finite; give another file")
    network.load_state_dict(tensors, strict=False)


def _renamed(tensors: dict[str, Tensor], network: nn.Module, own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors under the network's own names, by the prefix under which most of them are known.

    Raises:
        ValueError: none is known under any; it names the file's first.
    """

    tops = {".".join(name.split(".")[:2]) for name in own}  # `body.layer1`: what else the file has beside is left out

    def known(prefix: str) -> dict[str, Tensor]:
        stripped = {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        if set(stripped) <= set(own):
            return stripped
        renamed = {network.published_name(name): tensor for name, tensor in stripped.items()}  # type: ignore[operator]
        return {name: one for name, one in renamed.items() if name and ".".join(name.split(".")[:2]) in tops}

    parts = [name.split(".") for name in tensors]
    prefixes = {"".join(f"{part}." for part in name[:depth]) for name in parts for depth in range(min(4, len(name)))}
    found = max((known(prefix) for prefix in sorted(prefixes, key=len)), key=len)
    if not found:
        raise ValueError(f"first difference: {next(iter(tensors))}")
    return found


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(NUMPY_SCALARS):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise a dozen unrelated types for a bad file
        raise ValueError(f"{path} cannot be read as weights ({type(error).__name__}); give another file") from error
    for name in WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(name), dict):
            loaded = loaded[name]
            break
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()) or not loaded:
        raise ValueError(f"{path} holds no table of tensors; save the network's state_dict()")
    return {str(name): tensor for name, tensor in loaded.items()}
