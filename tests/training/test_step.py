"""The compiled step: it is taken where it agrees with the eager one, and only there."""

import shutil
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from benchmark.config import StageSettings
from benchmark.training import step
from benchmark.training.fit import Execution, Task, fit

Change = Callable[[nn.Module, Tensor, Tensor], None]


class Network(nn.Module):
    """A convolution whose bias a norm takes away again, so that its gradient is rounding alone."""

    def __init__(self, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution, self.norm = nn.Conv2d(3, 4, 3, bias=bias), nn.BatchNorm2d(4)
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(self.dropout(self.norm(self.convolution(images)).relu().mean((2, 3))))
        return scores


def batch(images: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(images, 3, 8, 8, generator=generator), torch.arange(images) % 3


def pretend(monkeypatch: pytest.MonkeyPatch, compiled: step.BatchLoss) -> None:
    """Let torch.compile return this."""
    monkeypatch.setattr(torch, "compile", lambda *_, **__: compiled)


def wrong_loss(network: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    loss, seen = step.batch_loss(network, inputs, targets)
    return loss * 1.01, seen


def one_gradient_missing(network: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    bias = network.head.bias
    network.head.bias = nn.Parameter(bias.detach())
    try:
        loss, seen = step.batch_loss(network, inputs, targets)
    finally:
        network.head.bias = bias
    return loss + 0 * bias.sum(), seen


def statistics_left_alone(network: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    momentum, network.norm.momentum = network.norm.momentum, 0.0
    try:
        return step.batch_loss(network, inputs, targets)
    finally:
        network.norm.momentum = momentum


def not_a_number(network: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    loss, seen = step.batch_loss(network, inputs, targets)
    return loss * float("nan"), seen


def broken(network: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    raise RuntimeError("no kernel\nimage is available")


@pytest.mark.parametrize(
    ("compiled", "word"),
    [
        (wrong_loss, "loss differs by 1.0%"),
        (one_gradient_missing, "gradient of head.bias differs by 100.0%"),
        (statistics_left_alone, "norm.running_mean differs"),
        (not_a_number, "loss differs by nan%"),
        (broken, "RuntimeError: no kernel"),
    ],
)
def test_a_wrong_compiled_step_is_refused_and_the_log_says_why(
    compiled: step.BatchLoss, word: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pretend(monkeypatch, compiled)
    assert step.compiled_loss(Network(), *batch(), "float32") is step.batch_loss
    assert "Network is trained without torch.compile: " in caplog.text
    assert word in caplog.text


def test_a_network_that_draws_at_random_is_not_compiled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pretend(monkeypatch, step.batch_loss)
    assert step.compiled_loss(Network(dropout=0.5), *batch(), "float32") is step.batch_loss
    assert "it draws at random" in caplog.text


def test_rounding_is_no_disagreement_and_the_check_leaves_the_network_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rounded(network: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return step.batch_loss(network, inputs * (1 + 1e-6), targets)

    pretend(monkeypatch, rounded)
    network = Network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert isinstance(step.compiled_loss(network, *batch(), "float32"), step.CompiledLoss)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_batch_of_another_size_is_not_compiled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def noted(network: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        sizes.append(len(targets))
        return step.batch_loss(network, inputs, targets)

    pretend(monkeypatch, noted)
    loss_of = step.CompiledLoss(6, "cpu")
    loss, seen = loss_of(Network(), *batch(5))
    expected, expected_seen = step.batch_loss(Network(), *batch(5))
    assert torch.equal(loss, expected)
    assert torch.equal(seen, expected_seen)
    loss_of(Network(), *batch(6))
    assert sizes == [6]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_training_agrees_with_eager_training() -> None:
    images, targets = batch(14)

    def batches(_: int) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(images.split(6), targets.split(6), strict=True)

    def trained(compiled: str | None) -> tuple[Tensor, bool]:
        network = Network(bias=False)  # of a gradient that is rounding alone, Adam makes whole steps
        splits = {"validation": targets.numpy(), "test": targets.numpy()}
        task = Task(batches, 3, lambda n: dict.fromkeys(splits, n.eval()(images).detach().numpy()), splits)
        stage = StageSettings.model_validate({"epochs": 4, "batch_size": 6, "learning_rate": 0.01})
        outcome = fit(network, task, stage, Execution(compiled=compiled))
        return torch.from_numpy(outcome.logits["last_epoch"]["test"]), outcome.compiled

    eager, was_compiled = trained(None)
    assert not was_compiled
    compiled, was_compiled = trained("float32")
    assert was_compiled
    torch.testing.assert_close(compiled, eager, atol=1e-4, rtol=0)
