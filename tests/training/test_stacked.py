"""Heads trained as one are the heads that separate training gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from backbones import BranchOutput
from benchmark.ledger import artifact_folder
from benchmark.plan import Run
from benchmark.training import stacked
from benchmark.training.checkpoint import load_tensors
from benchmark.training.fusion import WEIGHTS, StoredOutputs, train_on_stored_outputs
from benchmark.training.stacked import Member, Stack, stackable, stacks, train_together
from benchmark.training.workspace import Workspace
from fusion_methods import _scalar_attention, build_fusion
from tests.training import awkward_heads
from tests.training.random_outputs import place_of_random_outputs

METHODS = [
    "early",
    "gated",
    "attention-fusion:width=64",
    "attention-fusion-without-local:axis=token",
    "weighted-late",
    "late",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Run], Workspace]:
    return fusion_runs(tmp_path_factory.mktemp("stacked"), METHODS)


def fusion_runs(folder: Path, methods: list[str]) -> tuple[list[Run], Workspace]:
    plan, workspace = place_of_random_outputs(folder, methods)
    return [run for run in plan if run.kind == "fusion"], workspace


@pytest.fixture
def attention_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Attend as on a GPU: no branch of the code depends on values, and the kernel takes a stack.

    The CPU's own kernel does not and goes through the stack one by one, with a warning.
    """

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
        return _scalar_attention.kernel_attention(query * scale, key, value)

    monkeypatch.setattr("fusion_methods.attention.attend_scalars", attend)
    with sdpa_kernel(SDPBackend.MATH):
        yield


def test_heads_of_a_method_make_one_stack_over_pairs_and_seeds(place: tuple[list[Run], Workspace]) -> None:
    found = {stack[0][0].method: [run.label for run, _, _ in stack] for stack in stacks(*place)}
    assert set(found) == set(METHODS) - {"late"}
    assert all(len(set(labels)) == 4 for labels in found.values())


@pytest.mark.parametrize("method", [method for method in METHODS if method != "late"])
@pytest.mark.usefixtures("attention_of_a_gpu")
def test_a_stack_gives_what_separate_training_gives(place: tuple[list[Run], Workspace], method: str) -> None:
    runs, workspace = place
    assert_as_alone(next(stack for stack in stacks(runs, workspace) if stack[0][0].method == method), workspace)


def assert_as_alone(members: Sequence[Member], workspace: Workspace) -> None:
    together = train_together(members, workspace)
    kept = [load_tensors(artifact_folder(workspace.experiment, run.run_id) / WEIGHTS) for run, _, _ in members]
    for (run, _, _), mine, weights in zip(members, together, kept, strict=True):
        alone = train_on_stored_outputs(run, workspace)
        assert mine.epochs == alone.epochs
        for rule, logits in alone.logits.items():
            for split, expected in logits.items():
                np.testing.assert_allclose(mine.logits[rule][split], expected, atol=2e-4)
        for row, expected_row in zip(mine.history, alone.history, strict=True):
            assert row == pytest.approx(expected_row, abs=1e-4)
        assert weights.keys() == alone.state.keys()
        for name, value in alone.state.items():
            torch.testing.assert_close(weights[name], value, atol=2e-4, rtol=0)
    scores = [outcome.logits["last_epoch"]["test"] for outcome in together]
    assert all(np.abs(one - other).max() > 0.01 for i, one in enumerate(scores) for other in scores[:i])


def test_every_member_has_its_own_gradient() -> None:
    heads = [build_fusion("early:width=5", (4, 4), 3) for _ in range(2)]
    stack = Stack(heads)
    branches = [BranchOutput(torch.rand(2, 6, 4), torch.rand(2, 6, 3)) for _ in range(2)]
    stack(branches)[0].sum().backward()
    for weights in stack.weights:
        assert weights.grad is not None
        assert weights.grad[0].abs().sum() > 0
        assert weights.grad[1].abs().sum() == 0


def test_what_draws_at_random_or_learns_nothing_stays_alone(place: tuple[list[Run], Workspace]) -> None:
    run = next(run for run in place[0] if run.method == "early")
    assert stackable(run, nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0)))
    assert not stackable(run, nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)))
    assert not stackable(run, nn.Identity())


@pytest.mark.parametrize("method", awkward_heads.UNSTACKABLE)
def test_what_a_stack_would_get_wrong_stays_alone(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the runs of one method nothing is read but what the first needs itself."""
    awkward_heads.register(monkeypatch)
    runs, workspace = fusion_runs(tmp_path, [method])
    read = []
    monkeypatch.setattr(stacked, "StoredOutputs", lambda run, place: read.append(run) or StoredOutputs(run, place))
    assert stacks(runs, workspace) == []
    assert read == runs[:1]


@pytest.mark.parametrize("method", awkward_heads.REFUSED)
def test_what_cannot_be_one_module_is_refused(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    awkward_heads.register(monkeypatch)
    runs, workspace = fusion_runs(tmp_path, [method])
    (members,) = stacks(runs, workspace)
    with pytest.raises(RuntimeError, match=r"vmap|differ from those of the heads alone"):
        train_together(members, workspace)


@pytest.mark.parametrize("method", awkward_heads.STACKABLE)
def test_heads_with_a_mode_or_frozen_weights_are_stacked_right(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    awkward_heads.register(monkeypatch)
    runs, workspace = fusion_runs(tmp_path, [method])
    (members,) = stacks(runs, workspace)
    assert_as_alone(members, workspace)


def test_heads_of_splits_of_another_size_make_another_stack(tmp_path: Path) -> None:
    planned, official = fusion_runs(tmp_path, ["early:width=8"])
    runs = [replace(run, seed=3 * run.seed) for run in planned]
    folds = official.settings.data.model_copy(update={"split": "kfold", "test_folds": 5})
    workspace = replace(official, settings=official.settings.model_copy(update={"data": folds}))
    assert len(workspace.split(0).test) == len(workspace.split(3).test) + 1
    found = stacks(runs, workspace)
    assert [{run.seed for run, _, _ in members} for members in found] == [{0}, {3}]
    for members in found:
        assert_as_alone(members, workspace)


@pytest.mark.parametrize("loses", [False, True])
def test_a_torch_whose_kernels_lose_the_log_sum_exp_attends_by_the_formula(
    loses: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    enabled = []

    class Attending(awkward_heads.Head):
        def change(self, x: torch.Tensor) -> torch.Tensor:
            enabled.append((torch.backends.cuda.mem_efficient_sdp_enabled(), torch.backends.cuda.math_sdp_enabled()))
            return x

    monkeypatch.setattr(stacked, "LOSES_LOG_SUM_EXP", loses)
    branches = [BranchOutput(torch.rand(2, 6, 4), torch.rand(2, 6, 3))]
    assert Stack([Attending((4,), 3) for _ in range(2)])(branches).shape == (2, 6, 3)
    assert enabled == [(not loses, True)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_stack_on_a_gpu_gives_what_separate_training_gives(
    place: tuple[list[Run], Workspace],
) -> None:
    runs, workspace = place
    on_gpu = replace(workspace, device="cuda")
    members = next(stack for stack in stacks(runs, on_gpu) if stack[0][0].method == "attention-fusion:width=64")
    for (run, _, _), mine in zip(members, train_together(members, on_gpu), strict=True):
        alone = train_on_stored_outputs(run, on_gpu)
        np.testing.assert_allclose(mine.logits["last_epoch"]["test"], alone.logits["last_epoch"]["test"], atol=2e-2)
