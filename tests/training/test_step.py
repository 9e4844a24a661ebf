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
        self.precision = "float32"
        self.convolution, self.norm = nn.Conv2d(3, 4, 3, bias=bias), nn.BatchNorm2d(4)
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bfloat16"):
            return self.scores(images).float()

    def scores(self, images: Tensor) -> Tensor:
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
        (wrong_loss, "loss is off by 1.0%, over 0.1%"),
        (one_gradient_missing, "gradient of head.bias is off by 100.0%"),
        (statistics_left_alone, "norm.running_mean is off by"),
        (not_a_number, "loss is off by nan%"),
        (broken, "RuntimeError: no kernel"),
    ],
)
def test_a_wrong_compiled_step_is_refused_and_the_log_says_why(
    compiled: step.BatchLoss, word: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pretend(monkeypatch, compiled)
    assert step.compiled_loss(Network(), *batch()) is step.batch_loss
    assert "Network is trained without torch.compile: " in caplog.text
    assert word in caplog.text


def test_a_network_that_draws_at_random_is_not_compiled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pretend(monkeypatch, step.batch_loss)
    assert step.compiled_loss(Network(dropout=0.5), *batch()) is step.batch_loss
    assert "it draws at random" in caplog.text


def test_rounding_is_no_disagreement_and_the_check_leaves_the_network_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rounded(network: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return step.batch_loss(network, inputs * (1 + 1e-6), targets)

    pretend(monkeypatch, rounded)
    network = Network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert isinstance(step.compiled_loss(network, *batch()), step.CompiledLoss)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_rounding_of_bfloat16_is_measured_not_assumed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another order of adding is as far from float32 as the eager step in bfloat16; a percent of the loss is not."""
    network = Network()
    network.precision = "bfloat16"

    def reordered(network: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return step.batch_loss(network, inputs.flip(0), targets.flip(0))

    pretend(monkeypatch, reordered)
    assert isinstance(step.compiled_loss(network, *batch()), step.CompiledLoss)
    pretend(monkeypatch, wrong_loss)
    assert step.compiled_loss(network, *batch()) is step.batch_loss
    assert "loss is off by" in caplog.text
    assert network.precision == "bfloat16"


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

    def trained(compiled: bool) -> tuple[Tensor, bool]:
        network = Network(bias=False)  # of a gradient that is rounding alone, Adam makes whole steps
        splits = {"validation": targets.numpy(), "test": targets.numpy()}
        task = Task(batches, 3, lambda n: dict.fromkeys(splits, n.eval()(images).detach().numpy()), splits)
        stage = StageSettings.model_validate({"epochs": 4, "batch_size": 6, "learning_rate": 0.01})
        outcome = fit(network, task, stage, Execution(compiled=compiled))
        return torch.from_numpy(outcome.logits["last_epoch"]["test"]), outcome.compiled

    eager, was_compiled = trained(False)
    assert not was_compiled
    compiled, was_compiled = trained(True)
    assert was_compiled
    torch.testing.assert_close(compiled, eager, atol=1e-4, rtol=0)
