"""Searches whose outcome is known: what is found, what is not, and that nothing but validation is looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.trial import TrialState

from backbones import BranchOutput
from benchmark.config import UserError, load_config
from benchmark.engine.experiment import adopt_runs
from benchmark.plan import Run, make_plan
from benchmark.training import trial as trials_of_a_run
from benchmark.training.trial import training_part, validation_accuracy
from benchmark.training.workspace import Workspace
from benchmark.tuned import read_searches, read_tuned
from benchmark.tuning import study as study_module
from benchmark.tuning.figures import draw_search
from benchmark.tuning.search import Budget, Engine, Target, studies_of, targets_of, tune
from benchmark.tuning.space import space_of
from benchmark.tuning.study import described, open_study, search
from fusion_methods import build_fusion
from tests.tuning.conftest import DIGEST, Prepare, one_image_fewer

HERE = Engine(workers=1)


def quiet(_: Any) -> None:
    pass


def target(runs: list[Run], name: str) -> Target:
    found, _ = targets_of(runs, [name])
    return found[0]


def found_trials(folder: Path, runs: list[Run], workspace: Workspace, budget: Budget) -> list[list[dict[str, Any]]]:
    """Every study's trials, without what differs from time to time."""
    view = training_part(workspace)
    studies = studies_of(target(runs, "early"), budget, folder)
    kept = ("state", "values", "validation_accuracy", "curve", "epochs")
    return [[{name: described(t)[name] for name in kept} for t in search(s, view, quiet)] for s in studies]


def test_a_planted_optimum_is_found(prepare: Prepare, tmp_path: Path) -> None:
    runs, workspace = prepare(["planted"], tmp_path)
    (found,) = tune([target(runs, "planted")], Budget(trials=32, studies=2), workspace, HERE, quiet)
    assert found["default"]["values"]["shift"] == 3
    assert [study["best"]["shift"] for study in found["studies"]] == [0, 0]
    assert read_tuned(tmp_path)["planted"].settings == {"shift": 0}
    assert found["chosen"]["validation_accuracy"] > found["default"]["validation_accuracy"] + 0.3


def test_a_method_that_fits_the_test_set_alone_gains_nothing(prepare: Prepare, tmp_path: Path) -> None:
    """Its setting decides what it says of test images; a search that looked at them would choose one."""
    marked = [BranchOutput(torch.full((4, 512), 1000.0), torch.zeros(4, 7))] * 2
    said = [int(build_fusion(f"fits-test:guess={k}", (512, 512), 7)(marked).argmax(1)[0]) for k in range(7)]
    assert said == [0, 1, 2, 3, 4, 5, 6]
    runs, workspace = prepare(["fits-test"], tmp_path)
    (found,) = tune([target(runs, "fits-test")], Budget(12, 2, pruning=False), workspace, HERE, quiet)
    accuracies = [{trial["validation_accuracy"] for trial in study["trials"]} for study in found["studies"]]
    assert [len(values) for values in accuracies] == [1, 1]
    assert len({trial["values"]["guess"] for trial in found["studies"][0]["trials"]}) > 1
    assert found["chosen"] == found["default"]


def test_no_test_image_is_there(prepare: Prepare, tmp_path: Path) -> None:
    """Stored outputs of test images are not numbers, and the array of images ends before them."""
    runs, workspace = prepare(["early"], tmp_path)
    view = training_part(one_image_fewer(workspace, tmp_path))
    assert len(view.manifest) == 112
    assert all(name.startswith("train_") for name in view.manifest.image_ids)
    assert not view.manifest.is_test.any()
    assert view.split(1).test.size == 0
    assert view.split(1).validation.tolist() == workspace.split(1).validation.tolist()
    for run in (next(run for run in runs if run.method == "early"), runs[0]):
        assert 0 < validation_accuracy(run, view, lambda *_: None) <= 1
    with pytest.raises(AssertionError):
        validation_accuracy(runs[0], workspace, lambda *_: None)
    with pytest.raises(IndexError):
        one_image_fewer(workspace, tmp_path).network_input(workspace.split(0).test)


def test_a_trial_with_the_default_values_is_the_run_itself(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The accuracy by which the fusion stage selects its epoch, computed by the stage's own code."""
    from benchmark.training.fusion import train_on_stored_outputs

    # The test rows' outputs are no numbers here, which the stage would refuse.
    monkeypatch.setattr("benchmark.training.fit._evaluated", lambda network, task: task.evaluate(network))
    runs, workspace = prepare(["early"], tmp_path)
    run = next(run for run in runs if run.method == "early")
    outcome = train_on_stored_outputs(run, workspace)
    expected = max(row["validation_accuracy"] for row in outcome.history)
    assert validation_accuracy(run, training_part(workspace), lambda *_: None) == pytest.approx(expected)


def test_killed_and_resumed_gives_the_same_trials(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, workspace = prepare(["early"], tmp_path / "a")
    budget = Budget(trials=7, studies=2)
    expected = found_trials(tmp_path / "a", runs, workspace, budget)
    calls = 0

    def killed_now_and_then(*words: Any) -> float:
        nonlocal calls
        calls += 1
        if calls in (4, 8, 9):
            raise KeyboardInterrupt
        return validation_accuracy(*words)

    monkeypatch.setattr(study_module, "validation_accuracy", killed_now_and_then)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            found_trials(tmp_path / "b", runs, workspace, budget)
    assert found_trials(tmp_path / "b", runs, workspace, budget) == expected
    assert [len(trials) for trials in expected] == [7, 7]
    assert expected[0] != expected[1]


def test_studies_do_not_depend_on_each_other_and_more_trials_can_follow(prepare: Prepare, tmp_path: Path) -> None:
    runs, workspace = prepare(["early"], tmp_path / "a")
    expected = found_trials(tmp_path / "a", runs, workspace, Budget(trials=7, studies=2))
    view = training_part(workspace)
    first, second = studies_of(target(runs, "early"), Budget(trials=7, studies=2), tmp_path / "b")
    backwards = [[described(trial)["values"] for trial in search(s, view, quiet)] for s in (second, first)]
    assert backwards == [[trial["values"] for trial in trials] for trials in expected[::-1]]
    fewer = found_trials(tmp_path / "c", runs, workspace, Budget(trials=4, studies=2))
    assert fewer == [trials[:4] for trials in expected]
    assert found_trials(tmp_path / "c", runs, workspace, Budget(trials=7, studies=2)) == expected


def test_every_method_has_the_same_budget(prepare: Prepare, tmp_path: Path) -> None:
    runs, workspace = prepare(["early", "gated", "late"], tmp_path)
    targets, without = targets_of(runs, ["early", "gated", "late"])
    assert without == ["late"]
    found = tune(targets, Budget(trials=4, studies=2), workspace, HERE, quiet)
    assert [row["budget"] for row in found] == 2 * [
        {"trials": 4, "studies": 2, "pairs": 1, "pruning": True, "with_cost": False, "epochs_per_trial": 3}
    ]
    assert [[len(study["trials"]) for study in row["studies"]] for row in found] == [[4, 4], [4, 4]]
    assert all(row["epochs_spent"] <= 4 * 2 * 3 for row in found)
    assert {study["seed"] for row in found for study in row["studies"]} == {0, 1}
    first = [study["trials"][0]["values"] for study in found[0]["studies"]]
    assert first == 2 * [found[0]["default"]["values"]]


def test_a_hopeless_trial_is_stopped(prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, workspace = prepare(["early"], tmp_path)
    (study,) = studies_of(target(runs, "early"), Budget(trials=8, studies=1), tmp_path)
    order = iter(range(100))

    def falling(run: Run, _: Workspace, after_epoch: Any) -> float:
        value = 1 - next(order) / 10
        for epoch in range(1, 4):
            after_epoch(epoch, value)
        return value

    monkeypatch.setattr(study_module, "validation_accuracy", falling)
    trials = search(study, training_part(workspace), quiet)
    assert [trial.state for trial in trials] == 5 * [TrialState.COMPLETE] + 3 * [TrialState.PRUNED]
    assert [trial.user_attrs["epochs"] for trial in trials] == [3, 3, 3, 3, 3, 1, 1, 1]


def test_cost_is_sought_as_well(prepare: Prepare, tmp_path: Path) -> None:
    runs, workspace = prepare(["early"], tmp_path)
    (found,) = tune([target(runs, "early")], Budget(6, 1, with_cost=True), workspace, HERE, quiet)
    for trial in found["studies"][0]["trials"]:
        width = trial["values"]["width"]
        assert trial["cost"] == (1024 + 1) * width + (width + 1) * 7
    assert len({trial["cost"] for trial in found["studies"][0]["trials"]}) > 1
    names = {path.name for path in draw_search(found, tmp_path, tmp_path / "pictures")}
    assert "early-pareto.png" in names


def test_pictures_are_drawn(prepare: Prepare, tmp_path: Path) -> None:
    runs, workspace = prepare(["early", "fits-test"], tmp_path)
    targets, _ = targets_of(runs, ["early", "fits-test"])
    varied, constant = tune(targets, Budget(8, 1, pruning=False), workspace, HERE, quiet)
    names = [path.name for path in draw_search(varied, tmp_path, tmp_path / "pictures")]
    assert names == ["early-history.png", "early-parallel.png", "early-importances.png"]
    names = [path.name for path in draw_search(constant, tmp_path, tmp_path / "pictures")]
    assert names == ["fits-test-history.png", "fits-test-parallel.png"]


def test_spaces(prepare: Prepare, tmp_path: Path) -> None:
    runs, _ = prepare(["early", "late"], tmp_path)
    early = space_of(next(run for run in runs if run.method == "early"))
    assert early is not None
    assert early.described()["width"] == [128, 256, 512, 1024]
    assert early.described()["learning_rate"] == pytest.approx({"low": 3e-5, "high": 3e-3})
    assert early.default == {"learning_rate": 3e-4, "weight_decay": 0.0, "width": 512, "dropout": 0.0}
    backbone = space_of(runs[0])
    assert backbone is not None
    assert backbone.described()["epochs"] == [1, 2]
    assert space_of(next(run for run in runs if run.method == "late")) is None


def test_the_chosen_values_make_a_run_of_their_own(prepare: Prepare, tmp_path: Path) -> None:
    runs, workspace = prepare(["planted", "early"], tmp_path)
    tune([target(runs, "planted")], Budget(trials=32, studies=1), workspace, HERE, quiet)
    tuned = read_tuned(tmp_path)
    settings = workspace.settings.model_copy(update={"tuned": tuned})
    again = make_plan(settings, DIGEST, 7, 112)
    changed = [run.method for run, other in zip(runs, again, strict=True) if run.run_id != other.run_id]
    assert changed == ["planted", "planted"]
    run = next(run for run in again if run.method == "planted")
    assert run.hyperparameters["method.shift"] == 0
    assert run.hyperparameters["learning_rate"] == tuned["planted"].stage["learning_rate"]
    network = trials_of_a_run.TASKS["stored"](run, training_part(workspace))[0]
    assert network.shift == 0
    assert settings.context(DIGEST) != workspace.settings.context(DIGEST)
    assert read_searches(tmp_path)["planted"]["budget"]["trials"] == 32


def test_what_cannot_be_tuned_is_refused(prepare: Prepare, tmp_path: Path) -> None:
    names = ["early:partner=shuffled", "attention-fusion:axis=spatial", "early:features=cross-fitted"]
    runs, workspace = prepare(names, tmp_path)
    for name, reason in zip(
        names, ("is a control", "reads feature maps", "without features=cross-fitted"), strict=True
    ):
        with pytest.raises(UserError, match=reason):
            tune([target(runs, name)], Budget(1, 1), workspace, HERE, quiet)
    with pytest.raises(UserError, match="gated is not in the experiment's plan"):
        targets_of(runs, ["gated"])
    with pytest.raises(UserError, match="holds no tuned values"):
        read_tuned(tmp_path)


def test_damaged_values_are_named(tmp_path: Path) -> None:
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "early.yaml").write_text("name: early\n")
    with pytest.raises(UserError, match="tune early again"):
        read_tuned(tmp_path)


def test_the_same_runs_are_taken_over(tmp_path: Path) -> None:
    source, target_folder = tmp_path / "source", tmp_path / "target"
    for run_id in ("one", "two"):
        (source / "runs" / run_id).mkdir(parents=True)
        (source / "runs" / run_id / "history.csv").write_text(run_id)
    (source / "runs" / "one" / "record.json").write_text("{}")
    (source / "artifacts" / "one").mkdir(parents=True)
    (source / "artifacts" / "one" / "weights.safetensors").write_text("w")
    assert adopt_runs(["one", "two", "three"], source, target_folder) == 1
    taken = sorted(str(path.relative_to(target_folder)) for path in target_folder.rglob("*") if path.is_file())
    assert taken == ["artifacts/one/weights.safetensors", "runs/one/history.csv", "runs/one/record.json"]
    assert adopt_runs(["one", "two", "three"], source, target_folder) == 0


@pytest.mark.slow
def test_processes_give_the_same_trials(prepare: Prepare, tmp_path: Path) -> None:
    found = []
    for workers in (1, 2):
        runs, workspace = prepare(["early", "gated"], tmp_path / str(workers))
        targets, _ = targets_of(runs, ["early", "gated"])
        tune(targets, Budget(trials=6, studies=2), workspace, Engine(workers), quiet)
        texts = [json.loads(path.read_text()) for path in sorted((tmp_path / str(workers)).glob("tuning/*.json"))]
        found.append([[t["values"], t["curve"]] for row in texts for s in row["studies"] for t in s["trials"]])
    assert len(found[0]) == 24
    assert found[0] == found[1]


def test_a_study_takes_the_next_seed_and_the_next_pairs(tmp_path: Path) -> None:
    settings = load_config("demo", {"seeds": 2, "methods": ["early"]})
    found, _ = targets_of(make_plan(settings, DIGEST, 7, 112), ["early"])
    studies = studies_of(found[0], Budget(trials=1, studies=3, pairs=4), tmp_path)
    pairs = settings.branch_groups()
    assert [{run.seed for run in study.runs} for study in studies] == [{0}, {1}, {0}]
    assert [[pairs.index(run.backbones) for run in study.runs] for study in studies] == [
        [0, 1, 2, 3], [4, 5, 0, 1], [2, 3, 4, 5],
    ]  # fmt: skip
    assert [study.steps for study in studies] == [32, 32, 32]


def test_the_storage_holds_the_studies_under_names_for_people(prepare: Prepare, tmp_path: Path) -> None:
    runs, workspace = prepare(["early"], tmp_path)
    (study,) = studies_of(target(runs, "early"), Budget(trials=2, studies=1), tmp_path)
    search(study, training_part(workspace), quiet)
    assert study.name.startswith("early · study 1 · ")
    opened = open_study(study)
    assert len(opened.trials) == 2
    assert opened.metric_names == ["validation accuracy"]
    assert opened.user_attrs == {
        "tuned": "early", "pairs": "+".join(study.runs[0].backbones), "seed": 0, "epochs_per_trial": 3,
        "default": study.space.default,
    }  # fmt: skip
