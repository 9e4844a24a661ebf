"""What is said of an experiment while it runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmark.engine.experiment import run_experiment
from benchmark.engine.overview import run_states
from benchmark.engine.progress import TerminalProgress
from benchmark.ledger import load_ledger
from benchmark.ledger.claims import claim, epoch_notes, how_far, note_epoch
from benchmark.training import resume
from tests.engine.tiny import Collect, tiny_request


def test_the_line_under_the_bar_is_about_the_run_that_was_begun_first(tmp_path: Path) -> None:
    runs = [SimpleNamespace(run_id=name, label=f"{name} · seed 0", cost=1.0) for name in ("first", "second", "third")]
    progress = TerminalProgress(SimpleNamespace(folder=tmp_path), None)  # type: ignore[arg-type]
    progress.labels = {run.run_id: run.label for run in runs}
    assert progress._under_way() == ""
    with claim(tmp_path, "first"), claim(tmp_path, "second"), claim(tmp_path, "of another plan"):
        assert progress._under_way() == "", "no epoch is complete"
        note_epoch(tmp_path, "second", 1, 6, 0.2)
        assert progress._under_way() == "second · seed 0: epoch 1 of 6, 20.0 %, 1 more under way"
        note_epoch(tmp_path, "second", 2, 6, 0.25)
        note_epoch(tmp_path, "first", 4, 6, 0.6123)
        assert progress._under_way() == "first · seed 0: epoch 4 of 6, 61.2 %, 1 more under way"
    assert progress._under_way() == ""


def test_a_run_that_nobody_holds_leaves_no_note(tmp_path: Path) -> None:
    note_epoch(tmp_path, "run", 1, 2, 0.5)
    assert epoch_notes(tmp_path) == {}


def test_every_epoch_of_an_experiment_is_in_the_lock_file_while_the_run_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, seen, states = tiny_request(tmp_path, {"methods": ["joint"]}), [], set()

    def noted(experiment: Path, run_id: str, epoch: int, epochs: int, accuracy: float) -> None:
        note_epoch(experiment, run_id, epoch, epochs, accuracy)
        seen.append((run_id, epoch, how_far(epoch_notes(experiment)[run_id])))
        states.update(state.why.partition(";")[0] for state in run_states(experiment) if state.state == "running")

    monkeypatch.setattr(resume, "note_epoch", noted)
    run_experiment(request, Collect())
    ledger = load_ledger(request.folder)
    rows = [(record.run_id, row) for record in ledger.records for row in ledger.history(record.run_id)]
    told = {(run_id, epoch): text for run_id, epoch, text in seen}
    assert len(told) == len(rows) == 3
    for run_id, row in rows:
        accuracy = 100 * float(row["validation_accuracy"])
        assert told[run_id, int(row["epoch"])].endswith(f"{accuracy:.1f} %")
    assert states == set(told.values())
