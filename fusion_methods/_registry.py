"""The registry of fusion methods and the contract that every one fulfils."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import nn

from backbones.specs import Registry, Spec, parse_spec, split_spec


@dataclass(frozen=True)
class FusionMethod:
    """A fusion method as the registry knows it.

    Attributes:
        title: how tables call it.
        reference: the publication.
        end_to_end: whether gradients reach the backbones, unless a spec says `backbones=frozen|fine-tuned`.
        build: `build(feature_dims, num_classes, *, settings...)` gives the module.
    """

    name: str
    title: str
    reference: str
    end_to_end: bool
    build: Callable[..., nn.Module]

    @property
    def search_space(self) -> dict[str, Any]:
        """The settings that tuning may vary."""
        return dict(getattr(self.build, "search_space", {}))


@dataclass(frozen=True)
class FusionSpec:
    """A method with all its settings: what `module` gets, and whether the backbones learn."""

    method: FusionMethod
    module: Spec
    end_to_end: bool
    text: str

    @property
    def title(self) -> str:
        """The method's title, followed by the settings that differ from their default."""
        _, settings = split_spec(self.text)
        return f"{self.method.title} ({settings.replace(',', ', ')})" if settings else self.method.title


Method = TypeVar("Method", bound=Callable[..., nn.Module])
FUSION_METHODS: Registry[FusionMethod] = Registry("fusion method")
BACKBONES_SETTING = {"backbones=frozen": False, "backbones=fine-tuned": True}


def register_fusion(name: str, *, title: str, reference: str, end_to_end: bool = False) -> Callable[[Method], Method]:
    """Register the decorated class under `name`; a taken name is a `ValueError`.

    The class is built as `Class(feature_dims, num_classes, **settings)`, its settings being its keyword-only
    parameters, each with a default. `forward` takes a sequence of `BranchOutput` and returns (B, C) scores that are
    logits: their softmax is the prediction. It holds no loss, device, data set name or mode flag. A class whose
    prediction for one image depends on the other images of the batch says so by an attribute
    `batch_dependent`, one that reads feature maps by `uses_maps`, and one that takes no more than n branches
    by `max_branches`.
    """

    def register(build: Method) -> Method:
        parameters = inspect.signature(build).parameters.values()
        if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
            raise ValueError(f"fusion method '{name}': every setting needs a default")
        FUSION_METHODS.add(name, FusionMethod(name, title, reference, end_to_end, build))
        return build

    return register


def resolve_fusion(text: str) -> FusionSpec:
    """Read a method's spec, all settings filled in.

    Raises:
        ValueError: unknown name or setting; the message gives what is known.
    """
    name, settings = split_spec(text)
    method = FUSION_METHODS.find(name)
    if method is None:
        raise FUSION_METHODS.unknown(name)
    items = [item for item in settings.split(",") if item]
    end_to_end = method.end_to_end
    for item in [item for item in items if item.startswith("backbones=")]:
        if item not in BACKBONES_SETTING:
            raise ValueError(f"'{name}': write backbones=frozen or backbones=fine-tuned, not {item}")
        end_to_end = BACKBONES_SETTING[item]
        items.remove(item)
    module = parse_spec(f"{name}:{','.join(items)}", method.build)
    shortest = module.text
    if end_to_end != method.end_to_end:
        word = "fine-tuned" if end_to_end else "frozen"
        shortest += ("," if ":" in shortest else ":") + f"backbones={word}"
    return FusionSpec(method, module, end_to_end, shortest)


def build_fusion(text: str, feature_dims: tuple[int, ...], num_classes: int) -> nn.Module:
    """Build the module of a spec for branches of these feature sizes; a misfit is a `ValueError`."""
    spec = resolve_fusion(text)
    limit = getattr(spec.method.build, "max_branches", None)
    if limit is not None and len(feature_dims) > limit:
        raise ValueError(f"{spec.method.name} takes {limit} branches, not {len(feature_dims)}")
    return spec.method.build(feature_dims, num_classes, **spec.module.settings)
