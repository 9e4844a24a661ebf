"""A finished end-to-end run is asked from the weights that it left; where they are gone it is trained again, once."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmark import training
from benchmark.engine.experiment import Request, finished_runs, restore_weights
from benchmark.ledger import artifact_folder, load_ledger, read_record, write_json
from benchmark.trained import END_TO_END_WEIGHTS
from benchmark.training.checkpoint import load_tensors
from benchmark.training.predict import kept_weights


@pytest.fixture
def own(request_: Request, tmp_path: Path) -> Request:
    """The finished experiment of every stage, to be changed."""
    shutil.copytree(request_.results_dir, tmp_path / "results")
    return replace(request_, results_dir=tmp_path / "results")


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(training, "train", refuse)


def joint_weights(request: Request) -> tuple[str, Path]:
    """Return the id of the end-to-end run and the file of its weights."""
    run_id = next(record.run_id for record in load_ledger(request.folder).records if record.method == "joint")
    return run_id, artifact_folder(request.folder, run_id) / END_TO_END_WEIGHTS


@pytest.mark.usefixtures("no_training")
def test_kept_weights_are_read_without_training(request_: Request) -> None:
    run_id, path = joint_weights(request_)
    runs, workspace = finished_runs(request_)
    weights = kept_weights(next(run for run in runs if run.run_id == run_id), workspace)
    assert weights.keys() == load_tensors(path).keys()
    assert {tensor.dtype for tensor in weights.values()} == {
        torch.float32,
        torch.int64,
    }  # the counter of a normalisation
    assert [file.name for file in path.parent.iterdir()] == [END_TO_END_WEIGHTS]


def test_lost_weights_are_trained_again_once_to_the_same_bits(
    own: Request, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, path = joint_weights(own)
    first, record = load_tensors(path), (own.folder / "runs" / run_id / "record.json").read_bytes()
    path.unlink()
    restore_weights(own, read_record(own.folder, run_id))
    assert caplog.messages == [
        f"the weights of {next(r.label for r in finished_runs(own)[0] if r.run_id == run_id)} are missing or damaged: "
        "it is trained again"
    ]
    second = load_tensors(path)
    assert all(torch.equal(second[name], value) for name, value in first.items())
    assert (own.folder / "runs" / run_id / "record.json").read_bytes() == record
    monkeypatch.setattr(training, "train", None)
    restore_weights(own, read_record(own.folder, run_id))


def test_it_is_trained_again_in_the_micro_batches_that_the_record_names(
    own: Request, caplog: pytest.LogCaptureFixture
) -> None:
    run_id, path = joint_weights(own)
    whole = load_tensors(path)
    path.write_bytes(path.read_bytes()[:-1])
    record = read_record(own.folder, run_id)
    changed = replace(record, device="NVIDIA H200", environment={**record.environment, "micro_batch": 5})
    write_json(own.folder / "runs" / run_id / "record.json", vars(changed))
    runs, workspace = finished_runs(own)
    weights = kept_weights(next(run for run in runs if run.run_id == run_id), workspace)
    assert workspace.micro_batches == {run_id: 5}
    assert any(not torch.equal(weights[name], value) for name, value in whole.items())
    assert "on cpu, not NVIDIA H200, so that its predictions will differ" in caplog.text
