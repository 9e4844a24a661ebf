"""The fusion stages on a real, tiny experiment of two backbones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.audit.batch_dependence import DEPENDS, INDEPENDENT, audit_run
from benchmark.config import Settings, UserError
from benchmark.engine.experiment import Request, finished_runs, run_experiment
from benchmark.ledger import load_ledger
from benchmark.plan import Run
from benchmark.training import fusion
from benchmark.training.backbone import stored_outputs, trained_backbone
from benchmark.training.predict import trained_predictor
from benchmark.training.workspace import Workspace, epoch_order
from tests.conftest import NARROW
from tests.training.conftest import METHODS, Quiet


@pytest.fixture(scope="module")
def done(request_: Request) -> tuple[dict[str, Run], Workspace]:
    runs, workspace = finished_runs(request_)
    return {run.method or f"{run.kind} {run.backbones[0]}": run for run in runs}, workspace


def test_stored_outputs_are_those_of_the_trained_network(done: tuple[dict[str, Run], Workspace]) -> None:
    runs, workspace = done
    run = runs[f"backbone {NARROW[0]}"]
    stored = stored_outputs(run.run_id, NARROW[0], workspace, with_maps=True)
    network = trained_backbone(run.run_id, NARROW[0], workspace).eval()
    rows = np.array([0, 50, 167])
    with torch.inference_mode():
        fresh = network(workspace.network_input(rows))
    torch.testing.assert_close(stored.features[rows], fresh.features, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(stored.logits[rows], fresh.logits, atol=1e-4, rtol=1e-4)
    assert stored.maps is not None
    torch.testing.assert_close(stored.maps[rows], fresh.maps, atol=1e-4, rtol=1e-4)


def test_a_finished_run_can_be_asked_again(done: tuple[dict[str, Run], Workspace], request_: Request) -> None:
    """Every stage: the predictor of the finished run gives the ledger's predictions."""
    runs, workspace = done
    ledger = load_ledger(request_.folder)
    for method in METHODS:
        run = runs[method]
        test = workspace.split(0).test
        scores = trained_predictor(run, workspace)(test, int(run.hyperparameters["batch_size"]))
        frame = ledger.predictions(run.run_id)
        frame = frame[frame["split"] == "test"]
        assert frame["image_id"].tolist() == [workspace.manifest.image_ids[row] for row in test]
        np.testing.assert_allclose(scores, frame.filter(like="logit_"), atol=1e-4, err_msg=method)


def test_only_the_batch_reading_depends_on_the_batch(done: tuple[dict[str, Run], Workspace]) -> None:
    runs, workspace = done
    for method in METHODS:
        finding = audit_run(runs[method], workspace)
        expected = DEPENDS if method == "attention-fusion:axis=batch" else INDEPENDENT
        assert finding.verdict == expected, finding
        assert finding.declared == (expected == DEPENDS)
        if expected == INDEPENDENT:
            assert set(finding.changed.values()) == {0.0}
            assert len(set(finding.accuracy.values())) == 1


def test_shuffled_partners_are_other_images_of_the_same_split(done: tuple[dict[str, Run], Workspace]) -> None:
    runs, workspace = done
    outputs = fusion.StoredOutputs(runs["early:partner=shuffled"], workspace)
    split = workspace.split(0)
    for rows in (split.validation, split.test):
        partners = outputs.partner[rows].numpy()
        assert set(partners) == set(rows)
        assert not (partners == rows).any()
    branches = outputs.evaluation_batch(workspace.on_device(split.test))
    torch.testing.assert_close(branches[0].features, outputs.branches[0].features[split.test])
    torch.testing.assert_close(branches[1].features, outputs.branches[1].features[outputs.partner[split.test]])
    batch = outputs.training_batch(workspace.on_device(split.train[:5]))
    torch.testing.assert_close(batch[1].features, outputs.branches[1].features[np.roll(split.train[:5], 1)])


def test_folds_share_no_image_with_what_their_network_learnt_from(done: tuple[dict[str, Run], Workspace]) -> None:
    runs, workspace = done
    folds = workspace.folds(0, 2)
    assert sorted(np.concatenate(folds)) == workspace.split(0).train.tolist()
    assert not set(folds[0]) & set(folds[1])
    run = runs["early:features=cross-fitted"]
    assert len(run.parents) == 4
    assert len(set(run.parents)) == 4


def test_cross_fitted_late_fusion_is_the_mean_over_folds_and_branches(
    done: tuple[dict[str, Run], Workspace], request_: Request
) -> None:
    runs, workspace = done
    run = runs["late:features=cross-fitted"]
    test = workspace.split(0).test
    probabilities = []
    for parent, spec in zip(run.parents, NARROW * 2, strict=True):
        logits = stored_outputs(parent, spec, workspace, with_maps=False).logits[torch.from_numpy(test)]
        probabilities.append(torch.softmax(logits.double(), 1).numpy())
    frame = load_ledger(request_.folder).predictions(run.run_id)
    got = frame[frame["split"] == "test"].filter(like="logit_").to_numpy(dtype=np.float64)
    np.testing.assert_allclose(np.exp(got), np.mean(probabilities, axis=0), atol=1e-6)


def test_folds_stay_out_of_the_table_of_backbones(request_: Request) -> None:
    ledger = load_ledger(request_.folder)
    assert len(ledger.of_kind("fold")) == 4
    assert len(ledger.of_kind("backbone")) == 2


def test_order_of_batches_is_the_same_for_every_method(done: tuple[dict[str, Run], Workspace]) -> None:
    runs, workspace = done
    rows = workspace.split(0).train
    first, second = (epoch_order(runs[name], rows, 3) for name in ("early", "attention-fusion:axis=spatial"))
    assert [batch.tolist() for batch in first] == [batch.tolist() for batch in second]
    assert first[0].tolist() != epoch_order(runs["early"], rows, 4)[0].tolist()


def test_no_batch_of_one_in_training(done: tuple[dict[str, Run], Workspace]) -> None:
    run = done[0]["early"]
    size = int(run.hyperparameters["batch_size"])
    for count in (size + 1, 2 * size + 1, size, 1):
        batches = epoch_order(run, np.arange(count), 1)
        assert sorted(np.concatenate(batches)) == list(range(count))
        assert min(len(batch) for batch in batches) > 1 or count == 1


def test_a_run_that_fails_is_reported_and_the_others_go_on(tmp_path: Path, tiny_settings: Settings) -> None:
    plugin = tmp_path / "broken.py"
    plugin.write_text(
        "import torch\n"
        "from torch import nn\n"
        "from fusion_methods import register_fusion\n"
        "@register_fusion('broken', title='Broken', reference='none')\n"
        "class Broken(nn.Module):\n"
        "    def __init__(self, feature_dims, num_classes):\n"
        "        super().__init__()\n"
        "        self.w = nn.Parameter(torch.zeros(num_classes))\n"
        "    def forward(self, branches):\n"
        "        return branches[0].logits + self.w * float('nan')\n"
    )
    chosen = tiny_settings.model_copy(update={"methods": ["late", "broken"], "backbones": NARROW})
    request = Request(chosen, "broken", tmp_path / "results", tmp_path / "data", "cpu", 1, (plugin,))

    class Collect(Quiet):
        def ended(self, run: Run, outcome: object) -> None:
            pass

    summary = run_experiment(request, Collect())
    assert [failure.run.method for failure in summary.failures] == ["broken"]
    assert "not a finite number" in summary.failures[0].reason
    assert {record.method for record in load_ledger(request.folder).records} == {None, "late"}


def test_too_few_images_for_folds(done: tuple[dict[str, Run], Workspace]) -> None:
    with pytest.raises(UserError, match="50 folds need 50 training images"):
        done[1].folds(0, 50)
