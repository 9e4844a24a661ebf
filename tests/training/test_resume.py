"""A stage that is killed after any epoch goes on to the same numbers, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.config import StageSettings
from benchmark.training import resume
from benchmark.training.fit import Checkpoint, Execution, Learning, Outcome, Scores, Task, fit
from benchmark.training.resume import EpochCheckpoint

EPOCHS = 5
STAGE = StageSettings(epochs=EPOCHS, batch_size=8, learning_rate=0.02, weight_decay=0.01, schedule="cosine", warmup=1.5)
LABELS = {"validation": np.arange(12) % 3, "test": np.arange(10) % 3}


class Killed(BaseException):
    """What a kill looks like from within a test."""


def network() -> nn.Module:
    """Convolution in the last-channel layout, batch normalisation and dropout: all that has state or draws."""
    torch.manual_seed(4)
    layers = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Dropout(0.5), nn.Flatten(), nn.Linear(6 * 36, 3))
    return layers.to(memory_format=torch.channels_last)


def task() -> Task:
    def images(seed: int, count: int) -> Tensor:
        return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for step in range(3):
            yield images(10 * epoch + step, 8), torch.arange(8) % 3

    @torch.inference_mode()
    def evaluate(module: nn.Module) -> Scores:
        module.eval()
        return {split: module(images(99, len(labels))).numpy() for split, labels in LABELS.items()}

    return Task(batches, 3, evaluate, LABELS)


class KilledAfter:
    """A checkpoint that ends the process, so to speak, after an epoch."""

    def __init__(self, inner: Checkpoint, epoch: int) -> None:
        self.inner, self.epoch = inner, epoch

    def restore(self, learning: Learning) -> None:
        self.inner.restore(learning)

    def offer(self, learning: Learning) -> None:
        self.inner.offer(learning)
        if learning.epoch == self.epoch:
            raise Killed


def learn(checkpoint: Checkpoint | None) -> tuple[nn.Module, Outcome]:
    module = network()
    return module, fit(module, task(), STAGE, Execution(checkpoint))


def assert_same(one: tuple[nn.Module, Outcome], other: tuple[nn.Module, Outcome]) -> None:
    for name, value in one[0].state_dict().items():
        assert torch.equal(value, other[0].state_dict()[name]), name
    first, second = one[1], other[1]
    assert first.epochs == second.epochs
    assert first.history == second.history
    for name, value in first.state.items():
        assert torch.equal(value, second.state[name]), name
    for rule, scores in first.logits.items():
        for split, logits in scores.items():
            np.testing.assert_array_equal(logits, second.logits[rule][split])


@pytest.fixture(scope="module")
def undisturbed() -> tuple[nn.Module, Outcome]:
    return learn(None)


@pytest.mark.parametrize("kills", [[1], [3], [4], [1, 2, 3, 4]])
def test_goes_on_where_it_was(kills: list[int], undisturbed: tuple[nn.Module, Outcome], tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    for epoch in kills:
        with pytest.raises(Killed):
            learn(KilledAfter(EpochCheckpoint(path, 0, {}), epoch))
    begun = []

    class Watching(EpochCheckpoint):
        def restore(self, learning: Learning) -> None:
            super().restore(learning)
            begun.append(learning.epoch)

    assert_same(learn(Watching(path, 0, {})), undisturbed)
    assert begun == [kills[-1]]


def test_weights_alone_would_not_do(undisturbed: tuple[nn.Module, Outcome], tmp_path: Path) -> None:
    """Without optimizer, schedule or generators the numbers differ: the comparison above can fail."""

    class WeightsAlone(EpochCheckpoint):
        def restore(self, learning: Learning) -> None:
            fresh = {name: value for name, value in vars(learning).items() if name in ("optimizer", "schedule")}
            kept = {name: value.state_dict() for name, value in fresh.items()}
            super().restore(learning)
            for name, state in kept.items():
                getattr(learning, name).load_state_dict(state)

    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Killed):
        learn(KilledAfter(EpochCheckpoint(path, 0, {}), 2))
    with pytest.raises(AssertionError):
        assert_same(learn(WeightsAlone(path, 0, {})), undisturbed)


def test_a_damaged_or_foreign_checkpoint_is_not_used(undisturbed: tuple[nn.Module, Outcome], tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Killed):
        learn(KilledAfter(EpochCheckpoint(path, 0, {"code": "old"}), 2))
    assert_same(learn(EpochCheckpoint(path, 1e9, {"code": "new"})), undisturbed)
    path.write_bytes(path.read_bytes()[:-20])
    assert_same(learn(EpochCheckpoint(path, 1e9, {"code": "old"})), undisturbed)


def test_short_stages_write_nothing(tmp_path: Path) -> None:
    learn(EpochCheckpoint(tmp_path / "checkpoint.safetensors", 20, {}))
    assert list(tmp_path.iterdir()) == []


def test_time_spent_before_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Killed):
        learn(KilledAfter(EpochCheckpoint(path, 0, {}), 2))
    _, outcome = learn(EpochCheckpoint(path, 1e9, {}))
    assert 0 < outcome.seconds_before < 60
    assert learn(None)[1].seconds_before == 0


def test_a_run_of_one_gpu_goes_on_with_its_generator_on_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine that it goes on at may have fewer GPUs."""
    places = {"cuda:3": torch.arange(16, dtype=torch.uint8), "cuda:0": torch.zeros(16, dtype=torch.uint8)}
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: places[str(device)])
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: places.update({str(device): state}))
    monkeypatch.setattr(resume, "_device_of", lambda _: torch.device("cuda:3"))
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Killed):
        learn(KilledAfter(EpochCheckpoint(path, 0, {}), 2))
    del places["cuda:3"]
    monkeypatch.setattr(resume, "_device_of", lambda _: torch.device("cuda:0"))
    learn(EpochCheckpoint(path, 1e9, {}))
    assert {name: state.tolist() for name, state in places.items()} == {"cuda:0": list(range(16))}
