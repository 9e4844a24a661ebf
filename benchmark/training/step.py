"""The loss of one batch: eager, or compiled by torch, which on a GPU replays it and its gradients as CUDA graphs.

Compiling is a setting of the machine, never of a run: a compiled loss is taken only where it agreed with the eager one
on the first batch, on the device at hand.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

logger = logging.getLogger(__name__)

BatchLoss = Callable[[nn.Module, Any, Tensor], tuple[Tensor, Tensor]]
Values = dict[str, Tensor]

CALLS = 3  # until a CUDA graph is replayed: the first warms up, the second records
TOLERANCE = {"float32": 1e-3, "bfloat16": 2**-7}  # of a value's norm, at least
ROUNDING = 3.0  # times what bfloat16 costs the eager step, whose early layers' gradients are off by several percent
MOST = 0.5  # of a value's norm, whatever bfloat16 costs
LEAST = 1e-2  # share of the whole gradient's norm below which a parameter's own is rounding, as of a bias before a norm


def batch_loss(network: nn.Module, inputs: Any, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return a batch's mean cross entropy, and (2,) its summed loss and right images, detached."""
    scores = network(inputs)
    loss = F.cross_entropy(scores, targets)
    return loss, _seen(loss, scores, targets)


def _seen(loss: Tensor, scores: Tensor, targets: Tensor) -> Tensor:
    right = (scores.detach().argmax(1) == classes_of(targets)).sum()
    return torch.stack([loss.detach() * len(targets), right.to(loss.dtype)])


def own_loss(head: nn.Module, branches_of: Callable[[Any], Any] = lambda inputs: inputs) -> BatchLoss:
    """Return the loss that a fusion method has of its own, `batch_loss` where it has none.

    Args:
        head: the fusion method.
        branches_of: a batch's inputs -> the outputs of its branches, which stored ones are already.
    """
    if getattr(head, "training_loss", None) is None:
        return batch_loss

    def loss_of(_: nn.Module, inputs: Any, targets: Tensor) -> tuple[Tensor, Tensor]:
        branches = branches_of(inputs)
        scores = head(branches)
        loss: Tensor = head.training_loss(scores, branches, targets)  # type: ignore[operator]
        if loss.ndim:
            raise ValueError(f"its training_loss gives {tuple(loss.shape)} numbers, not the mean loss of the batch")
        return loss, _seen(loss, scores, targets)

    return loss_of


def classes_of(targets: Tensor) -> Tensor:
    """Return the class of each target, (...): itself, or the one with the largest share of a (..., C) distribution."""
    return targets.argmax(-1) if targets.is_floating_point() else targets


class CompiledLoss:
    """`batch_loss` compiled for batches of one size; other batches, as an epoch's last, go the eager way.

    What torch compiles is kept for the process: networks of the same structure share it, whatever their weights.
    """

    def __init__(self, images: int, device: str) -> None:
        self.images = images
        mode = "reduce-overhead" if device.startswith("cuda") else None
        self.compiled: BatchLoss = torch.compile(batch_loss, mode=mode, dynamic=False)

    def __call__(self, network: nn.Module, inputs: Any, targets: Tensor) -> tuple[Tensor, Tensor]:
        if len(targets) != self.images:
            return batch_loss(network, inputs, targets)
        torch.compiler.cudagraph_mark_step_begin()
        loss, seen = self.compiled(network, inputs, targets)
        return loss, seen.clone()  # a graph's outputs are overwritten by its next replay


def compiled_loss(network: nn.Module, inputs: Any, targets: Tensor) -> BatchLoss:
    """Return the compiled loss if it agrees with the eager one on this batch; else say why not and return that one.

    Compared with the eager step in float32 are the loss, every parameter's gradient and every buffer, as running
    statistics. They may be off by that precision's rounding, or by three times what the eager step in it is.
    A network that draws at random in training, as by dropout, is not compiled: it would draw other numbers.
    """
    compiled = CompiledLoss(len(targets), str(targets.device))
    try:
        random = draws_at_random(network)
        reason = "it draws at random" if random else _disagreement(network, inputs, targets, compiled)
    except Exception as error:  # the compiler may raise anything; training goes on without it
        lines = str(error).strip().splitlines() or ["no message"]
        reason = f"{type(error).__name__}: {lines[0]}"
    if reason is None:
        return compiled
    logger.warning("%s is trained without torch.compile: %s", type(network).__name__, reason)
    return batch_loss


def draws_at_random(network: nn.Module) -> bool:
    """Tell whether a network has a layer that draws random numbers in training."""
    return any(isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0 for part in network.modules())


def _disagreement(network: nn.Module, inputs: Any, targets: Tensor, compiled: BatchLoss) -> str | None:
    """Say where a loss differs from the eager one by more than rounding; None where it agrees."""
    network.train()
    eager = _one_step(network, inputs, targets, batch_loss)
    precision = str(network.precision)
    network.precision = "float32"  # type: ignore[assignment]
    try:
        with torch.backends.cudnn.flags(
            benchmark=False, allow_tf32=False
        ):  # one step is not worth a search for kernels
            exact = _one_step(network, inputs, targets, batch_loss)
    finally:
        network.precision = precision  # type: ignore[assignment]
    for _ in range(CALLS):
        found = _one_step(network, inputs, targets, compiled)
    least = TOLERANCE[precision]
    allowed = {name: max(least, min(MOST, ROUNDING * off)) for name, off in _distances(eager, exact).items()}
    for name, off in _distances(found, exact).items():
        if not off <= allowed[name]:
            return f"{name} is off by {off:.1%}, over {allowed[name]:.1%}"
    return None


def _distances(values: Values, exact: Values) -> dict[str, float]:
    """Return how far values are from the exact ones, as a share of their norm."""
    whole = torch.stack([value.norm() for name, value in exact.items() if name.startswith("gradient ")]).norm()
    shares = {}
    for name, value in exact.items():
        least = LEAST * whole if name.startswith("gradient ") else whole.new_zeros(())
        shares[name] = (values[name] - value).norm() / torch.maximum(value.norm(), least.to(value.dtype)).clamp_min(
            1e-12
        )
    return dict(zip(shares, torch.stack([share.double() for share in shares.values()]).tolist(), strict=True))


def _one_step(network: nn.Module, inputs: Any, targets: Tensor, loss_of: BatchLoss) -> Values:
    """Return loss, gradients and buffers after one forward and backward pass; the network stays as it was."""
    with _unchanged(network):
        network.zero_grad(set_to_none=True)
        loss, _ = loss_of(network, inputs, targets)
        loss.backward()
        gradients = {f"gradient of {n}": p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
        buffers = {n: b.detach().double() for n, b in network.named_buffers()}
        return {"loss": loss.detach().clone(), **gradients, **buffers}


@contextmanager
def _unchanged(network: nn.Module) -> Iterator[None]:
    """Put buffers back in place, and drop gradients."""
    kept = [buffer.clone() for buffer in network.buffers()]
    try:
        yield
    finally:
        network.zero_grad(set_to_none=True)
        with torch.no_grad():
            for buffer, value in zip(network.buffers(), kept, strict=True):
                buffer.copy_(value)
