"""A method of the user's own in a real, tiny experiment: edited, failing, dropped, mended, and asked about."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.config import UserError
from benchmark.engine.calibrate import calibrated
from benchmark.engine.description import with_remembered_plugins
from benchmark.engine.experiment import finished_request, finished_runs, planned_runs, planned_workspace, run_experiment
from benchmark.engine.outcomes import Failed, Request
from benchmark.engine.overview import drop_method, summary
from benchmark.engine.work import work
from benchmark.ledger import load_ledger, read_experiment, read_failure
from benchmark.ledger.packing import publish
from benchmark.reporting.report import make_table
from benchmark.reporting.significance import make_significance
from benchmark.trained import gather
from benchmark.training.inference import Predictor
from fusion_methods import FUSION_METHODS
from tests.engine.tiny import SMALL, Collect, contents, tiny_request
from tests.plug_ins import forgotten

MINE = """import torch
from torch import nn

from fusion_methods import register_fusion
from mine_beside import change


@register_fusion("mine", title="Mine", reference="a test")
class Mine(nn.Module):
    def __init__(self, feature_dims, num_classes):
        super().__init__()
        self.classify = nn.Linear(num_classes, num_classes)

    def forward(self, branches):
        return self.classify(change(branches[0].logits))
"""
FAULTS = {
    "at any batch": ("nn.Linear(num_classes, num_classes)", "nn.Linear(num_classes, 3 * num_classes)"),
    "at one image": ("nn.Linear(num_classes, num_classes)", "nn.Linear(2, num_classes)"),
}


@pytest.fixture(autouse=True)
def own_process() -> Iterator[None]:
    with forgotten():
        yield


@pytest.fixture
def folder(undisturbed: Request, tmp_path: Path) -> Path:
    """The finished tiny experiment, and a plug-in beside it that was not run yet."""
    shutil.copytree(undisturbed.results_dir, tmp_path / "results")
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "mine_beside.py").write_text("def change(scores):\n    return scores\n")
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def run(folder: Path, undisturbed: Request, **changes: Any) -> tuple[Any, Collect]:
    """Run late and early fusion and the plug-in, as a process of its own would."""
    request = tiny_request(
        folder,
        {"methods": ["late", "early", "mine"], **changes.pop("settings", {})},
        **{"plugins": (folder / "mine.py",), "data_dir": undisturbed.data_dir, **changes},
    )
    progress = Collect()
    with forgotten():
        return run_experiment(request, progress), progress


def mine(folder: Path) -> list[str]:
    return [record.run_id for record in load_ledger(folder / "results" / "tiny").records if record.method == "mine"]


def test_an_edited_plugin_is_run_again_beside_its_old_results(folder: Path, undisturbed: Request) -> None:
    experiment = folder / "results" / "tiny"
    assert run(folder, undisturbed)[0].done == 1
    first, before = mine(folder), contents(experiment)
    assert run(folder, undisturbed)[0].done == 0
    edit(folder / "mine.py", "import torch\n", '"""Now with a docstring."""\nimport torch  # and a comment\n')
    assert (run(folder, undisturbed)[0].done, mine(folder)) == (0, first)
    edit(folder / "mine.py", "branches[0]", "branches[1]")
    assert run(folder, undisturbed)[0].done == 1
    second = mine(folder)
    edit(folder / "mine_beside.py", "return scores", "return -scores")
    assert run(folder, undisturbed)[0].done == 1
    ledger = load_ledger(experiment)
    assert len({*first, *second, *mine(folder)}) == 3
    assert {run_id: contents(experiment)[run_id] for run_id in before} == before
    assert {record.run_id for record in ledger.aside} == {*first, *second}
    assert len(ledger.earlier_versions("mine")) == 2
    found = make_significance(ledger)
    assert "2 earlier versions of Mine were tested on these test images before." in found.answer
    present = ledger.experiment["plugins"]["mine"]["digest"]
    assert any(f"mine is version {present} of its plug-in" in note for note in make_table(2, ledger).notes)
    (versions,) = summary(experiment)["versions"]
    assert (versions["name"], versions["runs"], len(versions["earlier"])) == ("mine", 2, 2)
    packed = load_ledger(publish(ledger, folder / "results", "reference/tiny"))
    assert packed.earlier_versions("mine") == ledger.earlier_versions("mine")
    assert packed.experiment["plugins"]["mine"]["file"] == "mine.py"


def test_an_old_version_that_comes_back_is_not_run_again(folder: Path, undisturbed: Request) -> None:
    run(folder, undisturbed)
    first = mine(folder)
    edit(folder / "mine.py", "branches[0]", "branches[1]")
    run(folder, undisturbed)
    edit(folder / "mine.py", "branches[1]", "branches[0]")
    outcome, _ = run(folder, undisturbed)
    assert (outcome.done, mine(folder)) == (0, first)


def test_an_edit_while_an_experiment_runs_gives_no_run_another_name(folder: Path, undisturbed: Request) -> None:
    request = tiny_request(folder, {"methods": ["mine"]}, plugins=(folder / "mine.py",), data_dir=undisturbed.data_dir)
    planned = next(run for run in planned_runs(request) if run.method == "mine")
    workspace = finished_runs(undisturbed)[1]
    FUSION_METHODS.sources["mine"] = FUSION_METHODS.sources["mine"]._replace(digest="another")
    outcome = work(planned, workspace)
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith("the plug-in of mine was edited since this was planned")
    assert read_failure(workspace.experiment, planned.run_id) is None


def test_a_method_that_fails_leaves_the_others_their_verdicts(folder: Path, undisturbed: Request) -> None:
    experiment = folder / "results" / "tiny"
    edit(folder / "mine_beside.py", "return scores", "return scores.view(1, 7)")
    outcome, _ = run(folder, undisturbed)
    (failure,) = outcome.failures
    assert failure.reason.startswith("mine_beside.py:2: RuntimeError: shape '[1, 7]' is invalid")
    note = read_failure(experiment, failure.run.run_id)
    assert note is not None
    assert note["traceback"].startswith("Traceback")
    assert 'mine.py", line 15, in forward' in note["traceback"]
    states = summary(experiment)
    assert (states["planned"], states["finished"], states["failed"]) == (6, 5, 1)
    ledger = load_ledger(experiment)
    found = make_significance(ledger)
    assert found.missing == {"mine": (1, 1)}
    assert found.answer.endswith("Left out: mine (its run is missing).")
    assert {row.method for row in found.comparisons} == {"late", "early", "joint"}
    assert any(
        "mine (its run is missing); 'ferfuse status --experiment tiny'" in note for note in make_table(2, ledger).notes
    )


def test_a_dropped_method_is_gone_and_comes_back_when_it_is_asked_for(folder: Path, undisturbed: Request) -> None:
    experiment = folder / "results" / "tiny"
    run(folder, undisturbed, settings={"questions": [{"method": "mine", "against": ["late"]}]})
    kept = mine(folder)
    assert drop_method(experiment, "mine") == ["mine"]
    ledger = load_ledger(experiment)
    assert [record.run_id for record in ledger.aside] == kept
    assert "mine" not in [*ledger.experiment["main"]["methods"], *ledger.experiment["settings"]["methods"]]
    assert ledger.experiment["settings"]["questions"] == []
    assert (summary(experiment)["planned"], make_significance(ledger).missing) == (5, {})
    with pytest.raises(UserError, match="experiment 'tiny' has no method mine; known: late, early, joint"):
        drop_method(experiment, "mine")
    assert (run(folder, undisturbed)[0].done, mine(folder)) == (0, kept)


def test_a_failed_method_is_dropped_mended_and_run_again(folder: Path, undisturbed: Request) -> None:
    experiment = folder / "results" / "tiny"
    edit(folder / "mine_beside.py", "return scores", "return scores.view(1, 7)")
    run(folder, undisturbed)
    drop_method(experiment, "mine")
    assert (summary(experiment)["failed"], make_significance(load_ledger(experiment)).missing) == (0, {})
    edit(folder / "mine_beside.py", ".view(1, 7)", "")
    outcome, _ = run(folder, undisturbed)
    assert (outcome.done, outcome.failed_before) == (1, 0)
    assert ": Mine " in make_significance(load_ledger(experiment)).answer


def test_a_plan_is_refused_in_one_line_where_a_step_of_training_fails(folder: Path, undisturbed: Request) -> None:
    edit(folder / "mine_beside.py", "return scores", "return scores.view(1, 7)")
    request = tiny_request(folder, {"methods": ["mine"]}, plugins=(folder / "mine.py",), data_dir=undisturbed.data_dir)
    runs, workspace = planned_runs(request), planned_workspace(request)
    with pytest.raises(
        UserError, match=r"^a step of training fails: mine_beside.py:2: RuntimeError: shape .*; mend it"
    ):
        calibrated(runs, workspace, 1, request.plugins)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_layer_is_one_line_before_anything_runs(fault: str, folder: Path, undisturbed: Request) -> None:
    edit(folder / "mine.py", *FAULTS[fault])
    before = read_experiment(folder / "results" / "tiny")
    with pytest.raises(
        UserError, match=r"mine(' returns \(1, 21\)| does not fit .*: mine.py:15: RuntimeError: (addmm: )?mat1)"
    ) as caught:
        run(folder, undisturbed)
    assert "\n" not in str(caught.value)
    assert read_experiment(folder / "results" / "tiny") == before


def test_status_tells_which_runs_an_edited_backbone_makes_anew(folder: Path, undisturbed: Request) -> None:
    network = """from backbones import register_backbone
from backbones.wide_resnet import wide_resnet18

register_backbone("net", title="Net", reference="a test")(lambda num_classes: wide_resnet18(num_classes, width=0.25))
"""
    (folder / "mine.py").write_text(MINE + network)
    settings = {"backbones": ["net", SMALL], "methods": ["late", "mine"], "groups": "pairs"}
    assert run(folder, undisturbed, settings=settings)[0].done == 3
    (folder / "mine.py").write_text(MINE + network.replace("width=0.25", "width=0.3"))
    assert run(folder, undisturbed, settings={**settings, "methods": ["mine"]})[0].done == 2
    (waiting,) = summary(folder / "results" / "tiny")["runs"]
    assert (waiting["state"], waiting["label"].split(" ")[0]) == ("waiting", "late")
    assert waiting["why"].startswith("done with an earlier version of a plug-in")
    (folder / "mine.py").write_text(MINE + network.replace("num_classes, width", "3 * num_classes, wide"))
    with pytest.raises(UserError, match=r"net cannot take images of 32 pixels: mine.py:\d+: TypeError: .*; mend it"):
        run(folder, undisturbed, settings=settings)


def test_what_runs_a_plugin_finds_it_again(folder: Path, undisturbed: Request) -> None:
    run(folder, undisturbed)
    asked = tiny_request(folder, {"methods": ["mine"]}, data_dir=undisturbed.data_dir)
    assert with_remembered_plugins(asked).plugins == (folder / "mine.py",)
    request = finished_request(folder / "results", "tiny", undisturbed.data_dir, "cpu", ())
    assert {run.method for run in finished_runs(request)[0]} >= {"mine"}


def test_a_model_of_a_plugin_carries_its_modules_and_refuses_another_version(
    folder: Path, undisturbed: Request, tmp_path: Path
) -> None:
    run(folder, undisturbed)
    ledger = load_ledger(folder / "results" / "tiny")
    record = next(record for record in ledger.records if record.method == "mine")
    image = next(undisturbed.data_dir.rglob("test_0001_aligned.jpg"))
    gather(ledger, record, [folder / "mine.py"], tmp_path / "model")
    (folder / "mine.py").unlink()
    with forgotten():
        assert Predictor(tmp_path / "model").probabilities([image]).shape == (1, 7)
    edit(tmp_path / "model" / "plugin0" / "mine_beside.py", "return scores", "return -scores")
    with forgotten(), pytest.raises(UserError, match=r"was trained with mine as of version .*, which is not here"):
        Predictor(tmp_path / "model")


def test_a_question_about_a_method_that_is_not_run_is_refused(folder: Path, undisturbed: Request) -> None:
    with pytest.raises(UserError, match=r"the question names gated, which is not run; .*\(--methods\)"):
        run(folder, undisturbed, settings={"questions": [{"method": "gated", "against": ["late"]}]})
    with pytest.raises(UserError, match="the question compares early with itself under two names"):
        run(folder, undisturbed, settings={"questions": [{"method": "early", "against": ["early:width=512"]}]})
