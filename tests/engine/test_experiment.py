"""Faults in a real, tiny experiment: what fails ends alone, what is lost is made again, and no number changes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark import training
from benchmark.config import UserError
from benchmark.engine.experiment import run_experiment
from benchmark.engine.outcomes import Failure, Request
from benchmark.engine.overview import run_states, summary
from benchmark.ledger import artifact_folder, load_ledger, read_failure, run_folder
from benchmark.training import backbone as backbone_stage
from tests.engine.tiny import SECOND, SMALL, Collect, contents, tiny_request

PLUGIN = """
import os
import torch
from torch import nn
from fusion_methods import register_fusion

class Base(nn.Module):
    def __init__(self, feature_dims, num_classes):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(num_classes))

    def forward(self, branches):
        return self.change(branches[0].logits + self.w)

@register_fusion('planted-nan', title='Planted: not a number', reference='none')
class NotANumber(Base):
    def change(self, scores):
        return scores * float('nan')

@register_fusion('planted-memory', title='Planted: no memory for more than 12', reference='none')
class Memory(Base):
    def change(self, scores):
        if self.training and len(scores) > 12:
            raise torch.OutOfMemoryError('CUDA out of memory.')
        return scores

@register_fusion('planted-no-memory', title='Planted: no memory at all', reference='none')
class NoMemory(Base):
    def change(self, scores):
        if self.training:
            raise torch.OutOfMemoryError('CUDA out of memory.')
        return scores

@register_fusion('planted-mood', title='Planted: fails on some days', reference='none')
class Mood(Base):
    def change(self, scores):
        if self.training and os.environ.get('PLANTED_MOOD') == 'bad':
            raise ValueError('not today')
        return scores
"""


@pytest.fixture(scope="package")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plugin") / "planted.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture
def copy(undisturbed: Request, tmp_path: Path) -> Request:
    """The finished tiny experiment, free to be damaged."""
    shutil.copytree(undisturbed.results_dir, tmp_path / "results")
    return tiny_request(tmp_path, data_dir=undisturbed.data_dir)


def planted(copy: Request, plugin: Path, *methods: str, **changes: Any) -> Request:
    return tiny_request(
        copy.results_dir.parent, {"methods": list(methods)}, plugins=(plugin,), data_dir=copy.data_dir, **changes
    )


def run(request: Request, **changes: Any) -> tuple[Any, Collect]:
    progress = Collect()
    return run_experiment(request, progress, **changes), progress


def test_a_failure_ends_its_run_alone_and_is_kept(copy: Request, plugin: Path) -> None:
    request = planted(copy, plugin, "planted-nan", "planted-no-memory", "planted-memory")
    outcome, progress = run(request)
    assert (outcome.done, len(outcome.failures), outcome.failed_before) == (1, 2, 0)
    reasons = {failure.run.method: failure.reason for failure in outcome.failures}
    assert "DivergedError: the loss is not a finite number" in reasons["planted-nan"]
    assert reasons["planted-no-memory"].startswith("BatchTooLargeError: out of memory")
    failed = [state for state in run_states(request.folder) if state.state == "failed"]
    assert {state.label.split(" ")[0] for state in failed} == {"planted-nan", "planted-no-memory"}
    assert all("--retry-failed runs it again" in state.why for state in failed)
    again, progress = run(request)
    assert (again.done, again.failures, again.failed_before, progress.to_do) == (0, [], 2, [])


def test_a_batch_that_does_not_fit_is_learnt_in_parts_and_says_so(copy: Request, plugin: Path) -> None:
    request = planted(copy, plugin, "planted-memory")
    run(request)
    record = next(record for record in load_ledger(request.folder).records if record.method == "planted-memory")
    assert record.hyperparameters["batch_size"] == 32
    assert record.environment["micro_batch"] == 8
    assert "gradients of micro-batches were added up" in record.environment["micro_batch_note"]
    others = [record for record in load_ledger(request.folder).records if record.method != "planted-memory"]
    assert not any("micro_batch" in record.environment for record in others)


def test_failed_runs_are_done_again_when_asked_for(
    copy: Request, plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = planted(copy, plugin, "planted-mood")
    monkeypatch.setenv("PLANTED_MOOD", "bad")
    outcome, _ = run(request)
    run_id = outcome.failures[0].run.run_id
    assert outcome.failures[0].reason == "planted.py:38: ValueError: not today"
    run(planted(copy, plugin, "planted-mood", retry_failed=True))
    failure = read_failure(request.folder, run_id)
    assert failure is not None
    assert (failure["tries"], failure["again"]) == (2, False)
    monkeypatch.setenv("PLANTED_MOOD", "good")
    assert run(request)[0].failed_before == 1
    outcome, _ = run(planted(copy, plugin, "planted-mood", retry_failed=True))
    assert (outcome.done, outcome.failures) == (1, [])
    assert not (run_folder(request.folder, run_id) / "failure.json").exists()
    assert summary(request.folder)["failed"] == 0


def test_status_says_what_each_run_waits_for(copy: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backbone fails, another run was interrupted: those that start from the former say so."""
    ledger = load_ledger(copy.folder)
    second = next(record for record in ledger.of_kind("backbone") if record.backbones == [SECOND])
    for record in ledger.records:
        if record.kind == "fusion" or record.run_id == second.run_id:
            shutil.rmtree(run_folder(copy.folder, record.run_id))

    def fails(*_: object) -> None:
        raise ValueError("planted")

    monkeypatch.setitem(training.STAGES, "backbone", fails)
    assert run(copy)[0].done == 0
    states = {state.label.split(" ")[0]: state for state in run_states(copy.folder)}
    assert states[SMALL].state == "done"
    assert states[SECOND].state == "failed"
    assert states["late"].why == f"starts from {SECOND} · seed 0, which failed"
    (run_folder(copy.folder, second.run_id) / "failure.json").unlink()
    (artifact_folder(copy.folder, second.run_id) / "checkpoint.safetensors").write_bytes(b"")
    states = {state.label.split(" ")[0]: state for state in run_states(copy.folder)}
    assert (states[SECOND].state, states[SECOND].why) == ("waiting", "was interrupted; goes on from its checkpoint")
    assert states["joint"].why == f"starts from {SECOND} · seed 0, not done yet"


@pytest.mark.parametrize("damage", ["cut off", "changed", "deleted", "not tensors"])
def test_damaged_weights_are_made_again(damage: str, copy: Request, undisturbed: Request) -> None:
    """Only the joint run is to do: it finds its parents' weights damaged, and they are trained again first."""
    ledger = load_ledger(copy.folder)
    joint = next(record for record in ledger.records if record.method == "joint")
    before = contents(undisturbed.folder)
    shutil.rmtree(run_folder(copy.folder, joint.run_id))
    path = artifact_folder(copy.folder, joint.parents[1]) / "weights.safetensors"
    whole = path.read_bytes()
    spoil(path, damage)
    outcome, progress = run(copy)
    assert outcome.failures == []
    assert set(progress.ends) == {f"joint · {SMALL}+{SECOND} · seed 0", f"{SECOND} · seed 0"}
    assert contents(copy.folder) == before
    assert path.read_bytes() == whole


def spoil(path: Path, damage: str) -> None:
    whole = bytearray(path.read_bytes())
    if damage == "deleted":
        path.unlink()
    elif damage == "changed":
        whole[-1000] ^= 4
        path.write_bytes(whole)
    else:
        path.write_bytes(whole[: len(whole) // 2] if damage == "cut off" else b"nothing of the kind")


@pytest.mark.parametrize("damage", ["cut off", "changed"])
def test_damaged_features_are_computed_again(damage: str, copy: Request, undisturbed: Request) -> None:
    early = next(record for record in load_ledger(copy.folder).records if record.method == "early")
    shutil.rmtree(run_folder(copy.folder, early.run_id))
    path = artifact_folder(copy.folder, early.parents[0]) / "outputs.safetensors"
    whole = path.read_bytes()
    spoil(path, damage)
    _, progress = run(copy)
    assert list(progress.ends) == [f"early · {SMALL}+{SECOND} · seed 0"]
    assert contents(copy.folder) == contents(undisturbed.folder)
    assert path.read_bytes() == whole


def test_order_of_runs_changes_no_number(undisturbed: Request, tmp_path: Path) -> None:
    request = tiny_request(tmp_path, data_dir=undisturbed.data_dir)
    _, progress = run(request, priority=lambda run: (run.label.startswith("early"), run.cost))
    assert [label.split(" ")[0] for label in progress.ends] == [SMALL, SECOND, "late", "joint", "early"]
    assert contents(request.folder) == contents(undisturbed.folder)


def test_more_methods_and_seeds_change_no_number(copy: Request, undisturbed: Request) -> None:
    settings = {"methods": ["late", "gated", "early", "joint"], "seeds": 1, "backbones": [SMALL, SECOND, f"{SMALL}#3"]}
    before = contents(undisturbed.folder)
    run(tiny_request(copy.results_dir.parent, settings, data_dir=copy.data_dir))
    after = contents(copy.folder)
    assert len(after) > len(before)
    assert {run_id: after[run_id] for run_id in before} == before


def test_a_full_disk_ends_in_one_line_and_loses_nothing(
    copy: Request, undisturbed: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(undisturbed.folder)
    for record in load_ledger(copy.folder).records:
        if record.method in ("late", "early"):
            shutil.rmtree(run_folder(copy.folder, record.run_id))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "results/x")

    with monkeypatch.context() as patched:
        patched.setattr("pandas.DataFrame.to_parquet", full)
        with pytest.raises(UserError, match=r"results/x cannot be written \(No space left on device\); free space"):
            run(copy)
    assert summary(copy.folder)["failed"] == 0
    assert summary(copy.folder)["waiting"] == 2
    run(copy)
    assert contents(copy.folder) == before


def test_a_finished_run_is_never_done_again(copy: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process finishes everything after this one has planned: all is taken from the ledger."""
    ledger = load_ledger(copy.folder)
    aside = copy.results_dir.parent / "aside"
    shutil.move(copy.folder / "runs", aside)

    class MovesBack(Collect):
        def planned(self, runs: object, to_do: Any) -> None:
            super().planned(runs, to_do)
            shutil.copytree(aside, copy.folder / "runs", dirs_exist_ok=True)

    def never(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(backbone_stage, "fit", never)
    progress = MovesBack()
    outcome = run_experiment(copy, progress)
    assert len(progress.to_do) == outcome.done == len(ledger.records)
    assert not any(isinstance(end, Failure) for end in progress.ends.values())


def test_generators_of_torch_are_set_for_every_run(copy: Request, undisturbed: Request) -> None:
    """What was drawn before a run does not matter to it."""
    early = next(record for record in load_ledger(copy.folder).records if record.method == "early")
    shutil.rmtree(run_folder(copy.folder, early.run_id))
    torch.manual_seed(12345)
    torch.rand(1000)
    run(copy)
    assert contents(copy.folder) == contents(undisturbed.folder)
