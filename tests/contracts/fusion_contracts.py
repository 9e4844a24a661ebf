"""What every fusion method promises, one function per promise; a broken one is an `AssertionError` with the offender.

A candidate is a method spec (`attention-fusion:axis=batch`) or a class that was never registered. All promises but
`moves_to_another_precision` are looked at in float64, so that a difference is a difference and not a rounding.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import BranchOutput
from fusion_methods import build_fusion, resolve_fusion

CLASSES = 5
IMAGES = 6
DIMS = {2: (24, 40), 3: (24, 40, 32)}
ROUNDING = 1e-9  # of the largest number in sight; float64 is good for 1e-15
Candidate = str | Callable[..., nn.Module]
Contract = Callable[[Candidate], None]


@contextmanager
def float64() -> Iterator[None]:
    """Build and draw in float64 until the end of the block."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def build(candidate: Candidate, dims: Sequence[int], *, seed: int = 0, **settings: Any) -> nn.Module:
    """Build a candidate for branches of these feature sizes."""
    torch.manual_seed(seed)
    if isinstance(candidate, str):
        more = [f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in settings.items()]
        name, _, given = candidate.partition(":")
        return build_fusion(f"{name}:{','.join(filter(None, [given, *more]))}", tuple(dims), CLASSES)
    return candidate(tuple(dims), CLASSES, **settings)


def branch_counts(candidate: Candidate) -> list[int]:
    """Return the numbers of branches to try: two, and three where the method takes them."""
    builder = resolve_fusion(candidate).method.build if isinstance(candidate, str) else candidate
    limit = getattr(builder, "max_branches", None)
    return [count for count in DIMS if limit is None or count <= limit]


def draw(dims: Sequence[int], *, seed: int = 1, images: int = IMAGES) -> list[BranchOutput]:
    """Draw branch outputs as networks give them: maps after a ReLU, features their mean, logits of any sign."""
    torch.manual_seed(seed)
    maps = [torch.randn(images, dim, 3, 3).relu() for dim in dims]
    return [BranchOutput(x.mean(dim=(2, 3)), 3 * torch.randn(images, CLASSES), x) for x in maps]


def each(branches: Sequence[BranchOutput], change: Callable[[Tensor], Tensor]) -> list[BranchOutput]:
    """Change every tensor of every branch."""
    return [BranchOutput(*(None if x is None else change(x) for x in branch)) for branch in branches]


def score(module: nn.Module, branches: Sequence[BranchOutput]) -> Tensor:
    """Return the scores in evaluation mode, of copies and from a fixed seed: other promises have their own function."""
    torch.manual_seed(2)
    with torch.no_grad():
        scores: Tensor = module.eval()(each(branches, torch.clone))
    return scores


def distance(a: Tensor, b: Tensor) -> float:
    """Return the largest difference, relative to the largest entry."""
    return float((a - b).abs().max() / a.abs().max().clamp(min=1e-30))


@float64()
def gives_one_finite_score_per_class(candidate: Candidate) -> None:
    for count in branch_counts(candidate):
        scores = score(build(candidate, DIMS[count]), draw(DIMS[count]))
        expected = (IMAGES, CLASSES)
        assert tuple(scores.shape) == expected, f"{count} branches: scores {tuple(scores.shape)}, not {expected}"
        assert scores.isfinite().all(), f"{count} branches: scores that are not finite"


@float64()
def is_deterministic(candidate: Candidate) -> None:
    for count in branch_counts(candidate):
        module, branches = build(candidate, DIMS[count]).eval(), draw(DIMS[count])
        with torch.no_grad():
            first, second = (module(each(branches, torch.clone)) for _ in range(2))
        assert distance(first, second) == 0, f"{count} branches: the same batch twice in evaluation mode differs"


@float64()
def every_parameter_learns(candidate: Candidate) -> None:
    """From three random starts; a gradient that cancels is rounding, far below the largest one."""
    for count in branch_counts(candidate):
        for start in range(3):
            module = build(candidate, DIMS[count], seed=start).train()
            largest = _gradients(module, [draw(DIMS[count], seed=seed) for seed in (3, 4)])
            least = ROUNDING * max(largest.values(), default=0.0)
            dead = [name for name, found in largest.items() if not found > least]
            assert not dead, f"{count} branches, start {start}: no gradient for {', '.join(dead)}"


def loss_of(module: nn.Module, branches: Sequence[BranchOutput]) -> Tensor:
    """Return the loss that training takes: the method's own, or the cross entropy of its scores."""
    scores, targets = module(branches), torch.randint(CLASSES, (IMAGES,))
    own = getattr(module, "training_loss", None)
    return own(scores, branches, targets) if own else F.cross_entropy(scores, targets)


def _gradients(module: nn.Module, batches: Sequence[Sequence[BranchOutput]]) -> dict[str, float]:
    """Return the largest entry of every parameter's gradient, by name, over these batches."""
    largest = {name: 0.0 for name, _ in module.named_parameters()}
    for branches in batches if largest else []:
        module.zero_grad()
        loss_of(module, branches).backward()
        for name, parameter in module.named_parameters():
            found = 0.0 if parameter.grad is None else float(parameter.grad.abs().max())
            largest[name] = max(largest[name], found)
    return largest


@float64()
def registers_every_parameter(candidate: Candidate) -> None:
    for count in branch_counts(candidate):
        module = build(candidate, DIMS[count])
        scores = module(draw(DIMS[count]))
        known = {id(parameter) for parameter in module.parameters()}
        hidden = [path for path, tensor in _tensors(module, "self", set()) if _learnable(tensor, known)]
        assert not hidden, f"{count} branches: not among parameters(): {', '.join(hidden)}"
        foreign = [tuple(leaf.shape) for leaf in _leaves(scores) if _learnable(leaf, known)]
        assert not foreign, f"{count} branches: the scores come from unregistered tensors of shapes {foreign}"


def _learnable(tensor: Tensor, known: set[int]) -> bool:
    return tensor.requires_grad and tensor.is_leaf and id(tensor) not in known


def _tensors(thing: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor that can be reached from an object, with the way to it."""
    if id(thing) in seen or isinstance(thing, type | ModuleType | str | bytes):
        return
    seen.add(id(thing))
    if isinstance(thing, Tensor):
        yield path, thing
    elif isinstance(thing, Mapping):
        for key, value in thing.items():
            yield from _tensors(value, f"{path}[{key!r}]", seen)
    elif isinstance(thing, list | tuple | set | frozenset):
        for index, value in enumerate(thing):
            yield from _tensors(value, f"{path}[{index}]", seen)
    elif isinstance(thing, FunctionType):
        for name, cell in zip(thing.__code__.co_freevars, thing.__closure__ or (), strict=True):
            yield from _tensors(cell.cell_contents, f"{path}.{name}", seen)
    elif isinstance(thing, MethodType):
        yield from _tensors(thing.__self__, path, seen)
    elif isinstance(thing, partial):
        yield from _tensors([thing.func, thing.args, thing.keywords], path, seen)
    elif hasattr(thing, "__dict__"):
        for name, value in vars(thing).items():
            yield from _tensors(value, f"{path}.{name}", seen)


def _leaves(scores: Tensor) -> Iterator[Tensor]:
    """Yield the tensors that a backward pass from these scores would reach."""
    waiting, seen = [scores.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield cast(Tensor, node.variable)
        waiting.extend(following for following, _ in node.next_functions)


@float64()
def reacts_to_every_branch(candidate: Candidate) -> None:
    """Another branch output for one image changes that image's scores, in at least one of several draws."""
    for count in branch_counts(candidate):
        module, branches = build(candidate, DIMS[count]), draw(DIMS[count])
        before = score(module, branches)
        rows = slice(None) if getattr(module, "batch_dependent", False) else slice(1)
        for index in range(count):
            for seed in range(10, 18):
                changed = each(branches, torch.clone)
                for own, other in zip(changed[index], draw(DIMS[count], seed=seed)[index], strict=True):
                    own[0] = other[0]
                moved = distance(before[rows], score(module, changed)[rows])
                if moved > ROUNDING:
                    break
            assert moved > ROUNDING, f"{count} branches: the scores do not react to branch {index + 1}"


@float64()
def depends_on_the_batch_only_if_declared(candidate: Candidate) -> None:
    """One image alone, between other neighbours or at another place has the same scores; declared methods have not."""
    for count in branch_counts(candidate):
        module, branches = build(candidate, DIMS[count]), draw(DIMS[count])
        together = score(module, branches)
        alone = torch.cat([score(module, each(branches, lambda x, i=i: x[i : i + 1])) for i in range(IMAGES)])
        order = torch.tensor([3, 0, 5, 1, 4, 2])
        permuted = torch.empty_like(together)
        permuted[order] = score(module, each(branches, lambda x, order=order: x[order]))
        others = draw(DIMS[count], seed=3)
        mixed = [
            BranchOutput(*(torch.cat([x[:2], y]) for x, y in zip(a, b, strict=True)))
            for a, b in zip(branches, others, strict=True)
        ]
        found = {
            "alone": distance(together, alone),
            "in another order": distance(together, permuted),
            "between other images": distance(together[:2], score(module, mixed)[:2]),
        }
        moved = [f"{how} ({far:.1e})" for how, far in found.items() if not far <= ROUNDING]
        if getattr(module, "batch_dependent", False):
            assert moved, f"{count} branches: batch_dependent is declared, but no score moves"
        else:
            assert not moved, f"{count} branches: an image's scores depend on its batch: {', '.join(moved)}"


def moves_to_another_precision(candidate: Candidate) -> None:
    for count in branch_counts(candidate):
        module, branches = build(candidate, DIMS[count]), draw(DIMS[count])
        single = score(module, branches)
        try:
            double = score(module.to(torch.float64), each(branches, torch.Tensor.double))
        except RuntimeError as error:
            raise AssertionError(f"{count} branches: a tensor stays behind in .to(float64): {error}") from error
        assert single.dtype == torch.float32, f"{count} branches: float32 branches give {single.dtype} scores"
        assert double.dtype == torch.float64, f"{count} branches: float64 branches give {double.dtype} scores"
        far = distance(double, single.double())
        assert far < 1e-4, f"{count} branches: scores move by {far:.1e} between float32 and float64"


@float64()
def restores_from_its_state(candidate: Candidate) -> None:
    for count in branch_counts(candidate):
        module, branches = build(candidate, DIMS[count]), draw(DIMS[count])
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += 0.01 * torch.randn_like(parameter)
        file = io.BytesIO()
        torch.save(module.state_dict(), file)
        file.seek(0)
        restored = build(candidate, DIMS[count], seed=1)
        restored.load_state_dict(torch.load(file, weights_only=True))
        far = distance(score(module, branches), score(restored, branches))
        assert far <= ROUNDING, f"{count} branches: restored from its state_dict it scores otherwise ({far:.1e})"


@float64()
def builds_all_of_its_search_space(candidate: Candidate) -> None:
    builder = resolve_fusion(candidate).method.build if isinstance(candidate, str) else candidate
    for setting, values in getattr(builder, "search_space", {}).items():
        for value in values:
            try:
                scores = score(build(candidate, DIMS[2], **{setting: value}), draw(DIMS[2]))
            except (ValueError, TypeError) as error:
                raise AssertionError(f"search_space: {setting}={value} does not build: {error}") from error
            assert scores.isfinite().all(), f"search_space: {setting}={value} gives scores that are not finite"


@float64()
def switches_between_training_and_evaluation(candidate: Candidate) -> None:
    for count in branch_counts(candidate):
        module = build(candidate, DIMS[count])
        for training in (True, False, True):
            module.train(training)
            stuck = [name or "the module" for name, part in module.named_modules() if part.training is not training]
            assert not stuck, f"{count} branches: train({training}) does not reach {', '.join(stuck)}"
        scores = module(draw(DIMS[count]))
        assert scores.isfinite().all(), f"{count} branches: training scores that are not finite"


@float64()
def leaves_its_inputs_alone(candidate: Candidate) -> None:
    for count in branch_counts(candidate):
        module, branches = build(candidate, DIMS[count]), draw(DIMS[count])
        before, given = each(branches, torch.clone), list(branches)
        for training in (True, False):
            with torch.no_grad():
                module.train(training)(given)
        assert all(a is b for a, b in zip(branches, given, strict=True)), f"{count} branches: the list is changed"
        for index, (old, new) in enumerate(zip(before, branches, strict=True), start=1):
            for name, a, b in zip(BranchOutput._fields, old, new, strict=True):
                assert torch.equal(a, b), f"{count} branches: {name} of branch {index} are overwritten"


@float64()
def reads_maps_only_if_declared(candidate: Candidate) -> None:
    """A stored feature has no map: a method that needs one says so, and refuses a branch without in words."""
    for count in branch_counts(candidate):
        module, branches = build(candidate, DIMS[count]), draw(DIMS[count])
        without = [branch._replace(maps=None) for branch in branches]
        if getattr(module, "uses_maps", False):
            try:
                score(module, without)
            except ValueError:
                continue
            raise AssertionError(f"{count} branches: uses_maps is declared, but branches without maps are taken")
        try:
            scores = score(module, without)
        except Exception as error:
            raise AssertionError(f"{count} branches: fails without maps and declares no uses_maps: {error}") from error
        far = distance(score(module, branches), scores)
        assert far <= ROUNDING, f"{count} branches: scores react to maps, but uses_maps is not declared"


@float64()
def passes_gradients_to_every_branch(candidate: Candidate) -> None:
    """What an end-to-end method promises: a backbone behind any branch would learn."""
    for count in branch_counts(candidate):
        branches = each(draw(DIMS[count]), lambda x: x.requires_grad_())
        module = build(candidate, DIMS[count]).train()
        F.cross_entropy(module(branches), torch.randint(CLASSES, (IMAGES,))).backward()
        for index, branch in enumerate(branches, start=1):
            found = max(0.0 if x is None or x.grad is None else float(x.grad.abs().max()) for x in branch)
            assert found > 0, f"{count} branches: no gradient flows back into branch {index}"


@float64()
def loses_a_mean_over_images(candidate: Candidate) -> None:
    """A loss of its own is one finite number, whatever the images' order, for classes and for distributions."""
    targets, order = torch.tensor([0, 1, 2, 3, 4, 0]), torch.tensor([3, 0, 5, 1, 4, 2])
    for count in branch_counts(candidate):
        module, branches = build(candidate, DIMS[count]).eval(), draw(DIMS[count])
        own = getattr(module, "training_loss", None)
        if own is None:
            continue
        moved = each(branches, lambda x: x[order])
        for given in (targets, F.one_hot(targets, CLASSES).to(torch.float64)):
            loss = own(module(branches), branches, given).detach()
            assert loss.ndim == 0, f"{count} branches: training_loss gives {tuple(loss.shape)} numbers, not one"
            assert loss.isfinite(), f"{count} branches: training_loss is not finite"
            far = distance(loss, own(module(moved), moved, given[order]).detach())
            assert far <= ROUNDING, f"{count} branches: training_loss depends on the order of images"


CONTRACTS: tuple[Contract, ...] = (
    gives_one_finite_score_per_class,
    is_deterministic,
    every_parameter_learns,
    registers_every_parameter,
    reacts_to_every_branch,
    depends_on_the_batch_only_if_declared,
    moves_to_another_precision,
    restores_from_its_state,
    builds_all_of_its_search_space,
    switches_between_training_and_evaluation,
    leaves_its_inputs_alone,
    reads_maps_only_if_declared,
    loses_a_mean_over_images,
)
