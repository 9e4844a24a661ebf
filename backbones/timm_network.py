"""Any network of timm by its name, `timm/vit_tiny_patch16_224`; the tokens of a ViT become maps."""

from __future__ import annotations

from difflib import get_close_matches
from functools import partial
from typing import Any

from torch import Tensor, nn

from backbones._registry import Backbone, BranchOutput

PREFIX = "timm/"


class TimmNetwork(nn.Module):
    """Read the features that enter a timm network's classifying layer, and the last map or tokens before pooling.

    (B, 3, H, W) -> features (B, D), logits (B, C), maps (B, D, h, w). Tokens of a ViT, class and register tokens left
    out, stand where their patches are. Maps are None where the network's features have another width than they.

    Raises:
        AssertionError: timm's own, for images of a size that a network with fixed positions does not take.
    """

    def __init__(self, network: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.body = network
        width = getattr(network, "head_hidden_size", None) or network.num_features
        self.feature_dim = int(width)  # type: ignore[arg-type]
        self.head = nn.Linear(self.feature_dim, num_classes)
        self.classifiers = _classifiers(network)

    def forward(self, images: Tensor) -> BranchOutput:
        last = self.body.forward_features(images)  # type: ignore[operator]
        features = self.body.forward_head(last, pre_logits=True)  # type: ignore[operator]
        maps = self._as_maps(last, images)
        fits = maps is not None and maps.shape[1] == features.shape[1]
        return BranchOutput(features, self.head(features), maps if fits else None)

    def _as_maps(self, last: Tensor, images: Tensor) -> Tensor | None:
        if last.ndim == 4:
            return last.permute(0, 3, 1, 2) if getattr(self.body, "output_fmt", "NCHW") == "NHWC" else last
        if last.ndim != 3 or not hasattr(self.body, "patch_embed"):
            return None
        tokens = last[:, getattr(self.body, "num_prefix_tokens", 0) :]
        patch: tuple[int, int] = self.body.patch_embed.patch_size  # type: ignore[union-attr, assignment]
        rows, columns = images.shape[2] // patch[0], images.shape[3] // patch[1]
        if tokens.shape[1] != rows * columns:
            return None
        return tokens.transpose(1, 2).unflatten(2, (rows, columns))

    def published_name(self, name: str) -> str | None:
        """Map a parameter's name in timm's file to the name here; None for the published classifier's."""
        return None if name.startswith(self.classifiers) else f"body.{name}"


def _classifiers(network: nn.Module) -> tuple[str, ...]:
    named: Any = network.pretrained_cfg.get("classifier") or ()  # type: ignore[union-attr, operator]
    return tuple(f"{name}." for name in ([named] if isinstance(named, str) else named))


def timm_network(name: str) -> Backbone | None:
    """Return a network of timm as a backbone, None for a name that does not begin with `timm/`.

    Raises:
        ValueError: timm is not installed, or has no network of that name.
    """
    if not name.startswith(PREFIX):
        return None
    try:
        import timm
    except ModuleNotFoundError as error:
        raise ValueError("networks of timm need timm: pip install 'ferfuse[timm]'") from error
    own = name.removeprefix(PREFIX)
    if not timm.is_model(own):
        close = get_close_matches(own, timm.list_models(), n=3, cutoff=0.4)
        raise ValueError(f"timm has no network '{own}'; nearest: {', '.join(close) or 'none'}")
    config = timm.get_pretrained_cfg(own)
    source = config.hf_hub_id if config else None
    licence = (config.license or "unknown") if config else "unknown"
    return Backbone(
        name=name,
        title=own,
        reference=f"timm {own}" + (f"; weights {source}, licence {licence}" if source else ""),
        build=partial(_build, own),
        pretrained=f"{PREFIX}{source}" if source else None,
    )


def _build(name: str, num_classes: int) -> TimmNetwork:
    import timm

    try:
        network = timm.create_model(name, num_classes=0, dynamic_img_size=True)
    except TypeError:  # not a transformer whose positions can be fitted to the size of the images
        network = timm.create_model(name, num_classes=0)
    return TimmNetwork(network, num_classes)
