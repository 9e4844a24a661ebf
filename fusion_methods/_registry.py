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
    """A method with all its settings.

    Attributes:
        module: what the module gets.
        end_to_end: whether the backbones learn.
        shuffled_partner: whether every branch but the first sees another image, the control for what a branch adds.
        cross_fitted: whether it learns on features of images that the networks giving them have not learnt from.
        text: the shortest spec that says all this.
    """

    method: FusionMethod
    module: Spec
    end_to_end: bool
    shuffled_partner: bool
    cross_fitted: bool
    text: str

    @property
    def title(self) -> str:
        """The method's title, followed by the settings that differ from their default."""
        _, settings = split_spec(self.text)
        return f"{self.method.title} ({settings.replace(',', ', ')})" if settings else self.method.title


Method = TypeVar("Method", bound=Callable[..., nn.Module])
FUSION_METHODS: Registry[FusionMethod] = Registry("fusion method")
ARMS = {
    "backbones": ("frozen", "fine-tuned"),
    "features": ("in-sample", "cross-fitted"),
    "partner": ("own", "shuffled"),
}


def register_fusion(name: str, *, title: str, reference: str, end_to_end: bool = False) -> Callable[[Method], Method]:
    """Register the decorated class under `name`; a taken name is a `ValueError`.

    The class is built as `Class(feature_dims, num_classes, **settings)`, its settings being its keyword-only
    parameters, each with a default. `forward` takes a sequence of `BranchOutput` and returns (B, C) scores that are
    logits: their softmax is the prediction. It holds no device, data set name or mode flag.

    Training takes the cross entropy of the scores, unless the class has `training_loss(scores, branches, targets)`,
    which returns the mean loss of the batch, a scalar; targets are (B,) classes or (B, C) distributions. A class with
    `adjust_gradients(backbones)` is called after the backward pass of every end-to-end step, and may change the
    gradients of the backbones, which are in the order of the branches; it looks at no parameter of its own.

    A class whose prediction for one image depends on the other images of the batch says so by an attribute
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
    arm = {"backbones": ARMS["backbones"][method.end_to_end], "features": "in-sample", "partner": "own"}
    usual = dict(arm)
    for item in [item for item in items if item.partition("=")[0] in ARMS]:
        key, _, value = item.partition("=")
        if value not in ARMS[key]:
            raise ValueError(f"'{name}': write {key}={' or '.join(ARMS[key])}, not {item}")
        arm[key] = value
        items.remove(item)
    stored_only = [f"{key}={arm[key]}" for key in ("features", "partner") if arm[key] != usual[key]]
    if stored_only and arm["backbones"] == "fine-tuned":
        raise ValueError(f"'{name}': {stored_only[0]} needs backbones=frozen, whose outputs are stored")
    if len(stored_only) == 2:
        raise ValueError(f"'{name}': choose one of {' and '.join(stored_only)}")
    module = parse_spec(f"{name}:{','.join(items)}", method.build)
    unusual = [f"{key}={arm[key]}" for key in sorted(arm) if arm[key] != usual[key]]
    written = [*filter(None, [split_spec(module.text)[1]]), *unusual]
    return FusionSpec(
        method=method,
        module=module,
        end_to_end=arm["backbones"] == "fine-tuned",
        shuffled_partner=arm["partner"] == "shuffled",
        cross_fitted=arm["features"] == "cross-fitted",
        text=name + (":" + ",".join(written) if written else ""),
    )


def build_fusion(text: str, feature_dims: tuple[int, ...], num_classes: int) -> nn.Module:
    """Build the module of a spec for branches of these feature sizes; a misfit is a `ValueError`."""
    spec = resolve_fusion(text)
    return build_method(spec.method.name, spec.module.settings, feature_dims, num_classes)


def build_method(name: str, settings: dict[str, Any], feature_dims: tuple[int, ...], num_classes: int) -> nn.Module:
    """Build the module of a registered method with all of its settings given; a misfit is a `ValueError`."""
    method = FUSION_METHODS.find(name)
    if method is None:
        raise FUSION_METHODS.unknown(name)
    limit = getattr(method.build, "max_branches", None)
    if limit is not None and len(feature_dims) > limit:
        raise ValueError(f"{name} takes {limit} branches, not {len(feature_dims)}")
    return method.build(feature_dims, num_classes, **settings)
