"""A fusion method's own loss, and its change of the backbones' gradients, are what training uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import BranchOutput
from benchmark.config import StageSettings
from benchmark.training.fit import Task, fit
from benchmark.training.fusion import CrossFitted, EndToEnd, end_to_end_task
from benchmark.training.step import batch_loss, own_loss

IMAGES, CLASSES = 12, 3


class Branch(nn.Module):
    """A linear backbone of four pixels."""

    feature_dim = 5

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 5)
        self.head = nn.Linear(5, CLASSES)

    def forward(self, images: Tensor) -> BranchOutput:
        features = self.body(images.flatten(1))
        return BranchOutput(features, self.head(features))


class Plain(nn.Module):
    """Average the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, branches: Sequence[BranchOutput]) -> Tensor:
        return self.scale * torch.stack([branch.logits for branch in branches]).mean(0)


class Half(Plain):
    """The cross entropy of the first branch alone, halved; the second backbone's gradient is put to zero."""

    calls = 0

    def training_loss(self, scores: Tensor, branches: Sequence[BranchOutput], targets: Tensor) -> Tensor:
        return 0.5 * F.cross_entropy(branches[0].logits, targets) + 0 * scores.sum()

    def adjust_gradients(self, backbones: Sequence[nn.Module]) -> None:
        self.calls += 1
        backbones[0].body.weight.grad.mul_(0)


@pytest.fixture
def images() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(IMAGES, 1, 2, 2), torch.arange(IMAGES) % CLASSES


def task_of(images: tuple[Tensor, Tensor]) -> Task:
    x, y = images

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        yield from zip(x.split(4), y.split(4), strict=True)

    def evaluate(network: nn.Module) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            scores = network.eval()(x).numpy()
        return {"validation": scores, "test": scores}

    return Task(batches, 3, evaluate, {"validation": y.numpy(), "test": y.numpy()})


def trained(head: nn.Module, images: tuple[Tensor, Tensor]) -> tuple[EndToEnd, EndToEnd, list[dict[str, float]]]:
    """The network before and after two epochs."""
    torch.manual_seed(1)
    network = EndToEnd([Branch(), Branch()], head, "float32")
    before = EndToEnd([Branch(), Branch()], type(head)(), "float32")
    before.load_state_dict(network.state_dict())
    stage = StageSettings(epochs=2, batch_size=4, learning_rate=0.01)
    outcome = fit(network, end_to_end_task(network, task_of(images)), stage)
    return before, network, outcome.history


def test_an_own_loss_and_changed_gradients_are_what_a_network_learns_by(images: tuple[Tensor, Tensor]) -> None:
    head = Half()
    before, after, history = trained(head, images)
    moved = {name: not torch.equal(value, after.state_dict()[name]) for name, value in before.state_dict().items()}
    assert head.calls == 6  # once for each of 3 steps in 2 epochs
    assert moved["backbones.0.body.bias"]
    assert moved["backbones.0.head.weight"]
    assert not moved["backbones.0.body.weight"]  # put to zero
    assert not any(on for name, on in moved.items() if name.startswith("backbones.1"))  # not in the loss
    assert 0 < history[0]["train_loss"] < 0.8  # half a cross entropy of three classes


def test_without_one_it_is_the_cross_entropy_of_the_scores(images: tuple[Tensor, Tensor]) -> None:
    assert own_loss(Plain()) is batch_loss
    _, after, history = trained(Plain(), images)
    assert history[0]["train_loss"] > 0.8
    task = end_to_end_task(after, task_of(images))
    assert task.loss_of is batch_loss
    assert task.before_step is None


def test_a_loss_that_is_no_single_number_is_refused(images: tuple[Tensor, Tensor]) -> None:
    head = Half()
    head.training_loss = lambda scores, branches, targets: scores  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=r"training_loss gives \(4, 3\) numbers, not the mean loss"):
        trained(head, images)


def test_copies_for_folds_average_their_losses_over_all_images(images: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(2)
    network = CrossFitted([Half(), Half()])
    branch = Branch()
    x, y = images
    parts = [(0, [branch(x[:4])] * 2), (1, [branch(x[4:])] * 2)]
    loss, seen = own_loss(network)(network, parts, y)
    torch.testing.assert_close(loss, 0.5 * F.cross_entropy(branch(x).logits, y))
    assert seen[0].item() == pytest.approx(IMAGES * loss.item(), rel=1e-6)
    assert own_loss(CrossFitted([Plain(), Plain()])) is batch_loss
