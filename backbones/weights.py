"""Initial weights of a backbone: random, ImageNet's as torchvision publishes them, or a file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import models

from backbones._registry import Backbone


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
    return InitialWeights(path, hashlib.sha256(path.read_bytes()).hexdigest()[:16])


def _imagenet(backbone: Backbone) -> InitialWeights:
    if backbone.pretrained is None:
        raise ValueError(f"torchvision publishes no ImageNet weights of {backbone.name}; use weights=none or a file")
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


def load_weights(network: nn.Module, path: Path) -> None:
    """Copy the tensors of a `.safetensors` or torch file into a backbone.

    From a file with torchvision's names the published classifier is left out: the head keeps its random start.

    The file is one that this suite wrote, or one with torchvision's parameter names. Nothing in it is executed.

    Raises:
        ValueError: not a file of tensors, or not of this network.
    """
    tensors = _read_tensors(path)
    own = network.state_dict()
    if not set(tensors) <= set(own):
        renamed = ((network.published_name(name), tensor) for name, tensor in tensors.items())  # type: ignore[operator]
        tensors = {name: tensor for name, tensor in renamed if name is not None}
    wrong = [name for name, tensor in tensors.items() if name not in own or own[name].shape != tensor.shape]
    missing = [name for name in own if name not in tensors and not name.startswith("head.")]
    optional = "num_batches_tracked"  # absent from files written by early torch versions
    if wrong or [name for name in missing if not name.endswith(optional)]:
        raise ValueError(f"{path} does not hold this network's weights (first difference: {(wrong + missing)[0]})")
    network.load_state_dict(tensors, strict=False)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise a dozen unrelated types for a bad file
        raise ValueError(f"{path} cannot be read as weights ({type(error).__name__}); give another file") from error
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ValueError(f"{path} holds no table of tensors; save the network's state_dict()")
    return {name.removeprefix("module."): tensor for name, tensor in loaded.items()}
