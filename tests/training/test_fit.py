import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from backbones import BranchOutput
from benchmark.config import StageSettings
from benchmark.training.fit import BatchTooLargeError, DivergedError, Execution, Scores, Task, fit, micro_batches

LABELS = {"validation": np.array([0, 1, 1]), "test": np.array([1, 1])}


class Script(nn.Module):
    """A network whose evaluation follows a script: epoch -> logits."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, 2))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


def scripted(validation: list[list[int]], test: list[list[int]], margin: list[float] | None = None) -> Task:
    """Return a task whose k-th evaluation predicts these classes with these logit margins."""
    epoch = iter(range(len(validation)))

    def evaluate(_: nn.Module) -> Scores:
        k = next(epoch)
        size = margin[k] if margin else 1.0
        return {
            "validation": size * np.eye(2, dtype=np.float32)[validation[k]],
            "test": np.eye(2, dtype=np.float32)[test[k]],
        }

    def batches(_: int) -> Iterator[tuple[Tensor, Tensor]]:
        yield torch.eye(2), torch.tensor([0, 1])

    return Task(batches, 1, evaluate, LABELS)


def stage(**changes: object) -> StageSettings:
    return StageSettings.model_validate({"epochs": 3, "batch_size": 2, "learning_rate": 0.1, **changes})


def test_each_rule_takes_its_epoch() -> None:
    task = scripted(validation=[[0, 0, 0], [0, 1, 1], [0, 1, 0]], test=[[1, 1], [0, 1], [0, 0]])
    outcome = fit(Script(), task, stage())
    assert outcome.epochs == {"validation_selected": 2, "last_epoch": 3, "best_test_epoch": 1}
    np.testing.assert_array_equal(outcome.logits["validation_selected"]["test"].argmax(1), [0, 1])
    np.testing.assert_array_equal(outcome.logits["last_epoch"]["test"].argmax(1), [0, 0])
    np.testing.assert_array_equal(outcome.logits["best_test_epoch"]["test"].argmax(1), [1, 1])


def test_among_equal_accuracies_the_lower_loss_is_taken_then_the_earlier_epoch() -> None:
    right = [[0, 1, 1]] * 3
    assert fit(Script(), scripted(right, [[0, 0]] * 3, [1.0, 3.0, 2.0]), stage()).epochs["validation_selected"] == 2
    assert fit(Script(), scripted(right, [[0, 0]] * 3, [1.0, 1.0, 1.0]), stage()).epochs["validation_selected"] == 1


def test_test_images_do_not_select() -> None:
    """The same validation, other test predictions: the same epoch and the same weights."""
    validation = [[0, 0, 0], [0, 1, 1], [0, 1, 0]]
    first = fit(Script(), scripted(validation, [[1, 1], [0, 0], [0, 0]]), stage())
    other = fit(Script(), scripted(validation, [[0, 0], [0, 0], [1, 1]]), stage())
    assert first.epochs["validation_selected"] == other.epochs["validation_selected"]
    assert torch.equal(first.state["weight"], other.state["weight"])
    assert first.epochs["best_test_epoch"] != other.epochs["best_test_epoch"]


def test_state_is_that_of_the_selected_epoch() -> None:
    outcome = fit(Script(), scripted([[0, 1, 1], [0, 0, 0], [0, 0, 0]], [[0, 0]] * 3), stage(epochs=1))
    again = fit(Script(), scripted([[0, 1, 1], [0, 0, 0], [0, 0, 0]], [[0, 0]] * 3), stage(epochs=3))
    assert torch.equal(outcome.state["weight"], again.state["weight"])


def test_first_step_is_adams() -> None:
    """Adam's first step is the rate times the gradient's sign: here towards the identity."""
    outcome = fit(Script(), scripted([[0, 1, 1]], [[0, 0]]), stage(epochs=1))
    torch.testing.assert_close(outcome.state["weight"], torch.tensor([[0.1, -0.1], [-0.1, 0.1]]), atol=1e-5, rtol=0)
    assert outcome.history[0]["train_loss"] == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("changes", "rates"),
    [
        ({}, [0.1, 0.1, 0.1]),
        ({"warmup": 2.0}, [0.05, 0.1, 0.1]),
        ({"schedule": "cosine"}, [0.1, 0.1 * 0.75, 0.1 * 0.25]),
    ],
)
def test_rate_of_each_epoch(changes: dict[str, object], rates: list[float]) -> None:
    outcome = fit(Script(), scripted([[0, 1, 1]] * 3, [[0, 0]] * 3), stage(**changes))
    assert [row["learning_rate"] for row in outcome.history] == pytest.approx(rates)


def test_a_network_without_parameters_is_evaluated_once() -> None:
    outcome = fit(nn.Identity(), scripted([[0, 1, 0]], [[1, 1]]), stage())
    assert outcome.epochs == dict.fromkeys(("validation_selected", "last_epoch", "best_test_epoch"), 0)
    assert outcome.state == {}
    assert outcome.history[0]["test_accuracy"] == 1


def test_a_loss_that_is_no_number_ends_the_run() -> None:
    class Broken(Script):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * float("nan")

    with pytest.raises(DivergedError, match="lower the learning rate"):
        fit(Broken(), scripted([[0, 1, 1]], [[0, 0]]), stage())


def test_a_loss_beyond_all_bounds_ends_the_run() -> None:
    class Huge(Script):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.tensor([[0.0, 1e9], [1e9, 0.0]]) * self.training

    with pytest.raises(DivergedError, match=r"grew to 1e\+09"):
        fit(Huge(), scripted([[0, 1, 1]], [[0, 0]]), stage())


def test_a_score_that_is_no_number_ends_the_run() -> None:
    task = scripted([[0, 1, 1]], [[0, 0]], margin=[float("nan")])
    with pytest.raises(DivergedError, match="a score is not a number"):
        fit(Script(), task, stage())


class Regression(nn.Module):
    """Scores of images without anything that looks across the batch."""

    largest = 1000

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(5, 2, generator=generator, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.largest:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore about it")
        return x @ self.weight


def learnt(micro_batch: int | None) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    images, labels = torch.randn(11, 5, generator=generator, dtype=torch.float64), torch.arange(11) % 2

    def evaluate(_: nn.Module) -> Scores:
        return {"validation": np.eye(2, dtype=np.float32)[[0, 1, 1]], "test": np.eye(2, dtype=np.float32)[[1, 1]]}

    task = Task(lambda _: [(images[:7], labels[:7]), (images[7:], labels[7:])], 2, evaluate, LABELS)
    network = Regression()
    fit(network, task, stage(batch_size=7), Execution(micro_batch=micro_batch))
    return network.weight.detach()


def test_micro_batches_take_the_steps_of_the_whole_batch() -> None:
    whole = learnt(None)
    for size in (2, 3, 5, 7):
        torch.testing.assert_close(learnt(size), whole, atol=1e-12, rtol=0)


def test_a_batch_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Regression, "largest", 4)
    with pytest.raises(BatchTooLargeError, match=r"^out of memory: CUDA out of memory. Tried to allocate 2 GiB.$"):
        learnt(None)
    learnt(4)


@pytest.mark.parametrize(
    ("images", "size", "sizes"),
    [(24, None, [24]), (24, 12, [12, 12]), (25, 12, [9, 8, 8]), (3, 2, [3]), (5, 2, [3, 2])],
)
def test_micro_batches_are_near_equal_and_never_of_one_image(images: int, size: int | None, sizes: list[int]) -> None:
    rows = torch.arange(images)
    branch = BranchOutput(rows[:, None], rows[:, None], rows[:, None, None, None])
    without_maps = BranchOutput(rows[:, None], rows[:, None], None)
    for inputs in (rows, [branch, without_maps]):
        parts = list(micro_batches(inputs, rows, size))
        assert [len(labels) for _, labels in parts] == sizes
        assert torch.equal(torch.cat([labels for _, labels in parts]), rows)
    for (first, second), labels in parts:
        assert torch.equal(first.features[:, 0], labels)
        assert torch.equal(first.maps.flatten(), labels)
        assert second.maps is None
    assert len(list(micro_batches([(0, [branch])], rows, size))) == 1
