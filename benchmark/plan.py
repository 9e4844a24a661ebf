"""The grid: settings become runs, each with an id, parents, and random streams that leave the method out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from backbones import BACKBONES, BranchOutput, find_backbone, resolve_backbone, split_replicate
from backbones.shapes import build_without_memory, look_at_image, multiply_adds
from backbones.weights import find_weights
from benchmark.config import Settings, StageSettings, UserError
from benchmark.ledger.ids import run_id_of, run_label
from benchmark.plugins import blaming
from fusion_methods import FUSION_METHODS, FusionSpec, build_method, resolve_fusion

STEP_COST = 2_000_000  # multiply-adds an image that a training step costs whatever the network, measured on CPUs


@dataclass(frozen=True)
class Run:
    """One run of the grid.

    Attributes:
        run_id: hash of all that determines the result.
        kind: "backbone", "fold" (a backbone that leaves one fold of its training images out) or "fusion".
        stage: "backbone", "stored" (a fusion method on stored outputs), "cross-fitted" (on those of folds) or "joint"
            (end to end).
        method: the method's spec, None for a backbone.
        backbones: the specs of the branches, in order.
        seed: the number that all of the run's random streams derive from.
        hyperparameters: every setting that matters, resolved.
        parents: run ids of the backbones it starts from; for "cross-fitted" every branch's first fold, then every
            branch's second, and so on.
        titles: what tables call method and backbones.
        cost: multiply-adds of the whole run, to order and to estimate by.
        batch_dependent: whether the method declares that a prediction depends on the rest of its batch.
    """

    run_id: str
    kind: str
    stage: str
    method: str | None
    backbones: tuple[str, ...]
    seed: int
    hyperparameters: dict[str, Any]
    parents: tuple[str, ...]
    titles: dict[str, Any]
    parameters: int
    macs: int
    cost: float
    batch_dependent: bool = False

    @property
    def folds(self) -> int:
        """How many networks of each branch it starts from: one for each fold where it is cross-fitted."""
        return len(self.parents) // len(self.backbones)

    @property
    def label(self) -> str:
        """A line that names the run for people."""
        return run_label(self.method, self.backbones, self.seed)


@dataclass(frozen=True)
class Network:
    """A backbone of the plan: where it starts and what it costs."""

    spec: str
    title: str
    weights: str
    weights_digest: str
    feature_dim: int
    map_shape: tuple[int, ...] | None
    parameters: int
    macs: int


@dataclass(frozen=True)
class Head:
    """What a fusion method adds to its branches."""

    title: str
    parameters: int
    macs: int
    batch_dependent: bool


@dataclass(frozen=True)
class Context:
    """What all runs of a plan share: settings that matter, and the number of training images."""

    shared: dict[str, Any]
    images: int


def stream(seed: int, *axes: str) -> int:
    """Return the seed of one random stream: a hash of the run's seed and the names of what it is for.

    The fusion method is never an axis: the split, the initial weights of a branch and the order of batches are the
    same for every method of one seed, and another method changes no existing number.
    """
    text = "/".join([str(seed), *axes])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def make_plan(settings: Settings, dataset_digest: str, num_classes: int, images: int) -> list[Run]:
    """Return all runs: every backbone × seed, then every group × method × seed.

    Args:
        dataset_digest: the data's content digest; it is part of every run's id.
        images: number of training images, for the estimate of cost.

    Raises:
        UserError: an unknown backbone or method, a method that does not take so many branches, weights that
            cannot be had.
    """
    context = Context(settings.shared(dataset_digest), images)
    try:
        for name in settings.weights if isinstance(settings.weights, dict) else ():
            if name != "default":
                find_backbone(name)  # a name that is none is a fault, not a backbone without weights
        networks = {text: _network(text, settings, num_classes) for text in settings.all_backbones()}
        cells = [(group, _tuned(resolve_fusion(method), settings)) for group, method in settings.fusion_grid()]
        heads = _heads(cells, networks, num_classes)
    except ValueError as error:
        raise UserError(str(error)) from error
    if len(heads) < len(cells):
        texts = [(group, spec.text) for group, spec in cells]
        repeated = next(text for group, text in texts if texts.count((group, text)) > 1)
        raise UserError(f"method {repeated} is listed twice; list each method once")
    in_folds = {name for group, spec in cells if spec.cross_fitted for name in group}
    stage_one = {
        (name, seed, fold): _backbone_run(network, (seed, fold), settings, context)
        for seed in range(settings.seeds)
        for name, network in networks.items()
        for fold in range(1 + settings.folds * (name in in_folds))
    }
    fused = []
    for seed in range(settings.seeds):
        for group, spec in cells:
            folds = range(1, settings.folds + 1) if spec.cross_fitted else (0,)
            parents = [stage_one[name, seed, fold] for fold in folds for name in group]
            fused.append(_fusion_run((group, spec), parents, heads[group, spec.text], settings, context))
    return [*stage_one.values(), *fused]


def _heads(
    cells: Sequence[tuple[tuple[str, ...], FusionSpec]], networks: dict[str, Network], num_classes: int
) -> dict[tuple[tuple[str, ...], str], Head]:
    """Measure every method on every group; groups whose branches have the same shapes are measured once."""
    measured: dict[tuple[Any, ...], Head] = {}
    heads = {}
    for group, spec in cells:
        branches = [networks[name] for name in group]
        key = (spec.text, *((branch.feature_dim, branch.map_shape) for branch in branches))
        if key not in measured:
            measured[key] = _head(spec, branches, num_classes)
        heads[group, spec.text] = measured[key]
    return heads


def _tuned(spec: FusionSpec, settings: Settings) -> FusionSpec:
    """Give a method the settings that tuning chose for it; tables still call it by its own spec."""
    values = settings.tuned.get(spec.text)
    if values is None:
        return spec
    if unknown := [name for name in values.settings if name not in spec.module.settings]:
        raise UserError(f"tuned values of {spec.text}: it has no setting '{unknown[0]}'; tune it again")
    return replace(spec, module=replace(spec.module, settings={**spec.module.settings, **values.settings}))


def _stage(settings: Settings, stage: StageSettings, name: str) -> StageSettings:
    """Return how a method or backbone is optimised: as its stage says, unless tuning chose otherwise."""
    values = settings.tuned.get(name)
    return StageSettings(**{**stage.model_dump(), **values.stage}) if values else stage


def _network(text: str, settings: Settings, num_classes: int) -> Network:
    """Build a backbone without memory, to check its spec and to count its parameters and multiply-adds."""
    backbone = find_backbone(text)
    spec = resolve_backbone(text)
    weights = find_weights(settings.weights_of(backbone.name), backbone)
    replicate = split_replicate(text)[1]
    outside, size = backbone.name in BACKBONES.sources, settings.data.image_size
    with blaming(f"{text} cannot take images of {size} pixels", outside=outside):
        network = build_without_memory(text, num_classes)
        image = torch.empty(1, 3, size, size, device="meta")
        output, macs = multiply_adds(network, image) if outside else look_at_image(network, text, size)
    suffix = spec.text.partition(":")[2] + (f"#{replicate}" if replicate > 1 else "")
    if weights.path is None and isinstance(settings.weights, dict):  # beside networks that start otherwise
        suffix = f"{suffix}, random start".removeprefix(", ")
    return Network(
        spec=text,
        title=f"{backbone.title} ({suffix})" if suffix else backbone.title,
        weights=str(weights.path or ""),
        weights_digest=weights.digest,
        feature_dim=output.features.shape[1],
        map_shape=None if output.maps is None else tuple(output.maps.shape[1:]),
        parameters=sum(p.numel() for p in network.parameters()),
        macs=macs,
    )


def _head(spec: FusionSpec, networks: Sequence[Network], num_classes: int) -> Head:
    """Run a fusion module on one image, to check that it fits its branches and to count what it costs.

    Raises:
        UserError: a plug-in's module does not; the message names its line.
    """
    names = "+".join(network.spec for network in networks)
    with blaming(f"{spec.text} does not fit {names}", outside=spec.method.name in FUSION_METHODS.sources):
        return _measured(spec, networks, num_classes)


def _measured(spec: FusionSpec, networks: Sequence[Network], num_classes: int) -> Head:
    dims = tuple(network.feature_dim for network in networks)
    module = build_method(spec.method.name, spec.module.settings, dims, num_classes).eval()
    branches = [
        BranchOutput(
            torch.rand(1, network.feature_dim),
            torch.rand(1, num_classes),
            None if network.map_shape is None else torch.rand(1, *network.map_shape),
        )
        for network in networks
    ]
    scores, macs = multiply_adds(module, branches)
    if scores.shape != (1, num_classes):
        raise UserError(
            f"fusion method '{spec.text}' returns {tuple(scores.shape)} for one image, not (1, {num_classes})"
        )
    return Head(
        title=spec.title,
        parameters=sum(p.numel() for p in module.parameters()),
        macs=macs,
        batch_dependent=bool(getattr(module, "batch_dependent", False)),
    )


def _backbone_run(network: Network, place: tuple[int, int], settings: Settings, context: Context) -> Run:
    """Return the run of a backbone in its place, (seed, fold); fold 0 learns from all training images."""
    seed, fold = place
    stage = _stage(settings, settings.backbone_stage, network.spec)
    _, replicate = split_replicate(network.spec)
    kind = "fold" if fold else "backbone"
    hyperparameters: dict[str, Any] = {
        **context.shared,
        **stage.model_dump(),
        "backbone": resolve_backbone(network.spec).text,
        "replicate": replicate,
        "weights": network.weights,
        **_sources(None, (network.spec,)),
    }
    if fold:
        hyperparameters |= {"fold": fold, "folds": settings.folds}
    identity = {**hyperparameters, "weights": network.weights_digest}
    return Run(
        run_id=run_id_of(kind, identity, seed, ()),
        kind=kind,
        stage="backbone",
        method=None,
        backbones=(network.spec,),
        seed=seed,
        hyperparameters=hyperparameters,
        parents=(),
        titles={"method": None, "backbones": [network.title]},
        parameters=network.parameters,
        macs=network.macs,
        cost=3.0 * (network.macs + STEP_COST) * context.images * stage.epochs,
    )


def _fusion_run(
    cell: tuple[tuple[str, ...], FusionSpec], parents: Sequence[Run], head: Head, settings: Settings, context: Context
) -> Run:
    group, spec = cell
    stage = _stage(settings, settings.joint_stage if spec.end_to_end else settings.fusion_stage, spec.text)
    hyperparameters = {
        **context.shared,
        **stage.model_dump(),
        "method": spec.method.name,
        "end_to_end": spec.end_to_end,
        "partner": "shuffled" if spec.shuffled_partner else "own",
        **{f"method.{name}": value for name, value in spec.module.settings.items()},
        **_sources(spec.method.name, group),
    }
    folds = len(parents) // len(group)
    branches = sum(parent.macs for parent in parents)
    ids = tuple(parent.run_id for parent in parents)
    seed = parents[0].seed
    return Run(
        run_id=run_id_of("fusion", hyperparameters, seed, ids),
        kind="fusion",
        stage="joint" if spec.end_to_end else "cross-fitted" if spec.cross_fitted else "stored",
        method=spec.text,
        backbones=group,
        seed=seed,
        hyperparameters=hyperparameters,
        parents=ids,
        titles={"method": head.title, "backbones": [parent.titles["backbones"][0] for parent in parents[: len(group)]]},
        parameters=folds * head.parameters + sum(parent.parameters for parent in parents),
        macs=folds * head.macs + branches,
        cost=3.0 * (head.macs + branches * spec.end_to_end + STEP_COST) * context.images * stage.epochs,
        batch_dependent=head.batch_dependent,
    )


def _sources(method: str | None, group: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the digests of what a run takes from plug-ins, by name, as a setting; nothing for one that takes none."""
    backbones = [find_backbone(text).name for text in group]
    found = {name: BACKBONES.sources[name].digest for name in backbones if name in BACKBONES.sources}
    if method in FUSION_METHODS.sources:
        found[method] = FUSION_METHODS.sources[method].digest
    return {"sources": found} if found else {}
