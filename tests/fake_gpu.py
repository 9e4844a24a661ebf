"""A GPU of fake tensors: every device, dtype, shape and host wait of the real code, no GPU, no memory, no arithmetic.

Inside `fake_gpu()` "cuda" is a device of `torch._subclasses.FakeTensorMode`. Two devices in one operation, a result of
the wrong type, and a look at a value (`.item()`, `bool()`, a boolean mask) raise a `RuntimeError`. Copies that the host
waits for are counted, and so are the operations that start a kernel. What does not show: numbers, races, what cuDNN
refuses, and time. What is copied to the CPU is zeros, and so is what is written to files.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmark.training import backbone, checkpoint, fit, stacked

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = tuple(str(ROOT / name) for name in ("backbones", "fusion_methods", "benchmark"))
FREE = {  # operations that start no kernel
    "detach", "alias", "view", "_unsafe_view", "t", "transpose", "permute", "expand", "unsqueeze", "squeeze", "slice",
    "select", "as_strided", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "unbind", "split",
    "split_with_sizes", "lift_fresh", "device", "chunk", "unfold", "diagonal", "_reshape_alias", "narrow",
}  # fmt: skip
CONVOLUTIONS = {"convolution", "conv1d", "conv2d"}  # the latter two in inference mode
PRODUCTS = CONVOLUTIONS | {  # operations whose inputs have to be of one type, which fake tensors do not look at
    "mm", "addmm", "bmm", "baddbmm", "linear", "matmul", "convolution_backward", "grid_sampler_2d",
}  # fmt: skip
CUDA = {  # what the code asks of a GPU's driver
    "torch.cuda.amp.common.amp_definitely_not_available": lambda: False,
    "torch.cuda.is_bf16_supported": lambda *_, **__: True,
    "torch.cuda.synchronize": lambda *_: None,
    "torch.cuda.get_device_name": lambda *_: "fake GPU",
    "torch.cuda.max_memory_allocated": lambda *_: 1,
    "torch.cuda.memory_reserved": lambda *_: 0,
    "torch.cuda.mem_get_info": lambda *_: (2**36, 2**36),
    "torch.cuda.empty_cache": lambda: None,
    "torch.cuda.get_rng_state": lambda *_: torch.zeros(16, dtype=torch.uint8),
    "torch.cuda.set_rng_state": lambda *_: None,
    "torch.cuda.current_device": lambda: 0,
    "torch.cuda.manual_seed_all": lambda seed: None,
}


class Watch(TorchDispatchMode):
    """Count what runs on the fake GPU.

    Attributes:
        operations: those that start a kernel, by name.
        waits: copies between host and device, by the line of the project that they come from. The host waits for all
            of them, as the project pins no memory.
        convolved: the types that convolutions computed in.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.convolved: set[torch.dtype] = set()

    def clear(self) -> None:
        """Count from nothing again."""
        for counted in (self.operations, self.waits, self.convolved):
            counted.clear()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in PRODUCTS and len(dtypes := {x.dtype for x in tree_leaves(args) if isinstance(x, Tensor)}) > 1:
            raise RuntimeError(f"{name} of different types: {dtypes}")
        result = func(*args, **(kwargs or {}))
        given, made = _devices((args, kwargs)), _devices(result)
        moved = (bool(given and made) and not given & made) or (name == "copy_" and len(given) > 1)
        indexed_by_cpu = name in ("index", "index_put_") and len(given) > 1
        if moved or indexed_by_cpu:
            self.waits[f"{name} {_line()}"] += 1
        elif "cuda" in given | made and name not in FREE:
            self.operations[name] += 1
        if name in CONVOLUTIONS:
            self.convolved.add(result.dtype)
        return result


def _devices(values: Any) -> set[str]:
    return {value.device.type for value in tree_leaves(values) if isinstance(value, Tensor)}


def _line() -> str:
    """Return the line of the project that is being run."""
    frame = sys._getframe(1)
    while not frame.f_code.co_filename.startswith(PACKAGES):
        if frame.f_back is None:
            return "outside the project"
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).relative_to(ROOT)}:{frame.f_lineno}"


@contextmanager
def waits_by_epoch(watch: Watch, module: Any, **functions: str) -> Iterator[dict[str, list[int]]]:
    """Count the waits of each call of a module's functions, such as those of an epoch's training and its evaluation.

    Args:
        functions: what a count is called, and the function that it is of.
    """
    found: dict[str, list[int]] = {phase: [] for phase in functions}

    def counting(phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            before = watch.waits.total()
            result = function(*args, **named)
            found[phase].append(watch.waits.total() - before)
            return result

        return call

    with ExitStack() as held:
        for phase, name in functions.items():
            held.enter_context(patch.object(module, name, counting(phase, getattr(module, name))))
        yield found


@contextmanager
def steps_counted(watch: Watch) -> Iterator[list[dict[str, int]]]:
    """Count each step of training: operations on the device, those of them that make its batch, and waits."""
    step, counts = fit._step, []

    def count(*arguments: Any) -> list[Tensor]:
        made = watch.operations.total()
        result = step(*arguments)
        counts.append({"operations": watch.operations.total(), "batch": made, "waits": watch.waits.total()})
        watch.operations.clear()
        watch.waits.clear()
        return result

    with patch.object(fit, "_step", count):
        yield counts


@contextmanager
def fake_gpu() -> Iterator[Watch]:
    """Make "cuda" a device of fake tensors, and count what the project does with it."""
    mode, watch = FakeTensorMode(allow_non_fake_inputs=True), Watch()
    _forget_tensors()
    try:
        with ExitStack() as held:
            for target, replacement in (CUDA | _crossings(mode, watch)).items():
                held.enter_context(patch(target, replacement))
            held.enter_context(mode)
            held.enter_context(watch)
            yield watch
    finally:
        _forget_tensors()


def _forget_tensors() -> None:
    """Empty the project's caches: fake tensors are of no use outside the mode, nor real ones inside."""
    for module in [module for name, module in sys.modules.items() if name.startswith("benchmark.")]:
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def _crossings(mode: FakeTensorMode, watch: Watch) -> dict[str, Callable[..., Any]]:
    """Return what stands in where tensors meet numpy, files, or a part of torch that takes no fake tensors."""
    save_file, load_with_notes = checkpoint.save_file, checkpoint.load_with_notes
    to_numpy, from_array = Tensor.numpy, torch.from_numpy

    def save(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
        with unset_fake_temporarily():
            real = {name: torch.zeros(x.shape, dtype=x.dtype) if _is_fake(x) else x for name, x in tensors.items()}
            save_file(real, path, metadata=metadata)

    def load(path: Path, device: str = "cpu") -> tuple[dict[str, Tensor], dict[str, str]]:
        with unset_fake_temporarily():
            tensors, notes = load_with_notes(path)
        return {name: mode.from_tensor(value).to(device) for name, value in tensors.items()}, notes

    def from_numpy(array: np.ndarray) -> Tensor:
        with unset_fake_temporarily() as held:
            real = from_array(array)
        return real if held is None else mode.from_tensor(real)

    def numpy(tensor: Tensor) -> np.ndarray:
        if not _is_fake(tensor):
            return to_numpy(tensor)
        if tensor.device.type != "cpu":
            raise TypeError(f"can't convert a tensor on {tensor.device} to numpy")
        return np.zeros(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))

    def tolist(tensor: Tensor) -> Any:
        watch.waits[f"tolist {_line()}"] += tensor.device.type == "cuda"
        return np.zeros(tuple(tensor.shape)).tolist()

    return {
        "benchmark.training.checkpoint.save_file": save,
        "benchmark.training.checkpoint.load_with_notes": load,
        "benchmark.training.resume.load_with_notes": load,
        "benchmark.training.backbone.build_with_weights": _outside(backbone.build_with_weights),
        "benchmark.training.fit.epoch_scores": _outside(fit.epoch_scores),
        "benchmark.training.stacked.epoch_scores": _outside(stacked.epoch_scores),
        "torch.set_rng_state": lambda state: None,  # what a file gives back is zeros
        "torch.from_numpy": from_numpy,
        "torch.Tensor.numpy": numpy,
        "torch._subclasses.fake_tensor.FakeTensor.tolist": tolist,
        "torch.Tensor.backward": backward,
        "torch.autograd.grad": grad,
        "torch.nn.Module._apply": _apply,
    }


def _is_fake(tensor: Tensor) -> bool:
    return isinstance(tensor, FakeTensor)


def _outside(function: Callable[..., Any]) -> Callable[..., Any]:
    """Call a function outside the fake mode."""

    def call(*args: Any, **named: Any) -> Any:
        with unset_fake_temporarily():
            return function(*args, **named)

    return call


def _apply(module: nn.Module, change: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """Put new weights in place of a module's; swapping their contents is refused for what the fake mode refers to."""
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None:
                with torch.no_grad():
                    part._parameters[name] = nn.Parameter(change(value), value.requires_grad)
        for name, value in part._buffers.items():
            if value is not None:
                part._buffers[name] = change(value)
    return module


def backward(root: Tensor) -> None:
    """Add up the gradients of a loss in its weights; a first one is handed over without a copy."""
    for weight, gradient in _gradients(root):
        with torch.no_grad():
            weight.grad = gradient.detach() if weight.grad is None else weight.grad + gradient


def grad(root: Tensor, weights: Sequence[Tensor], retain_graph: bool = False) -> tuple[Tensor, ...]:
    """Return the gradients of a loss by some of its weights."""
    found = dict(_gradients(root))
    return tuple(found[weight] for weight in weights)


def _gradients(root: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Carry gradients back node by node: autograd's own engine wants a real GPU where a node says that it is on one."""
    found, waiting = [], _uses(root.grad_fn)
    gradients: dict[Any, dict[int, Tensor]] = {root.grad_fn: {0: torch.ones_like(root)}}
    ready = [root.grad_fn]
    with torch.no_grad():
        while ready:
            node = ready.pop()
            given = gradients.pop(node, {})
            if hasattr(node, "variable"):
                found.append((node.variable, given[0]))
                continue
            results = node(*[given.get(place) for place in range(len(node._input_metadata))])
            results = results if isinstance(results, tuple) else (results,)
            for (following, place), result in zip(node.next_functions, results, strict=False):
                if following is None:
                    continue
                if result is not None:
                    slot = gradients.setdefault(following, {})
                    result = _fitted(result, following._input_metadata[place], node.name())
                    slot[place] = slot[place] + result if place in slot else result
                waiting[following] -= 1
                if not waiting[following]:
                    ready.append(following)
    return found


def _uses(start: Any) -> Counter[Any]:
    """Return how many gradients each node before `start` waits for."""
    waiting: Counter[Any] = Counter()
    nodes, seen = [start], {start}
    while nodes:
        for following, _ in nodes.pop().next_functions:
            if following is not None:
                waiting[following] += 1
                if following not in seen:
                    seen.add(following)
                    nodes.append(following)
    return waiting


def _fitted(gradient: Tensor, expected: Any, name: str) -> Tensor:
    """Bring a gradient to the shape and type of its value, as autograd does; its device has to be the value's."""
    if gradient.device != expected.device:
        raise RuntimeError(f"{name}: gradient on {gradient.device}, value on {expected.device}")
    return gradient.sum_to_size(expected.shape).to(expected.dtype)
