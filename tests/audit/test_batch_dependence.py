"""The audit finds a dependence on the batch in both precisions, and takes no rounding for one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from benchmark.audit import batch_dependence
from benchmark.audit.batch_dependence import (
    DEPENDS,
    INDEPENDENT,
    TOLERANCE,
    Finding,
    _compare,
    audit_experiment,
    audit_run,
)
from benchmark.config import UserError, load_config
from benchmark.engine.experiment import finished_runs, run_experiment
from benchmark.engine.outcomes import Request
from benchmark.plan import Run
from benchmark.training.backbone import LostWeightsError
from benchmark.training.fusion import initial_predictor
from benchmark.training.predict import kept_weights
from benchmark.training.workspace import Workspace
from tests.conftest import NARROW, TINY
from tests.engine.tiny import Collect

INDEPENDENT_METHOD, DEPENDENT_METHOD = "joint", "attention-fusion:axis=batch,backbones=fine-tuned"


@pytest.fixture(params=["float32", "bfloat16"], scope="module")
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Run], Workspace]:
    """Two end-to-end runs and what they work with, trained in one of the precisions."""
    folder = tmp_path_factory.mktemp(request.param)
    changes = {"backbones": NARROW, "methods": [INDEPENDENT_METHOD, DEPENDENT_METHOD], "precision": request.param}
    settings = load_config("demo", {**TINY, **changes})
    asked = Request(settings, "tiny", folder / "results", folder / "data", device="cpu", workers=1)
    run_experiment(asked, Collect())
    runs, workspace = finished_runs(asked)
    return [run for run in runs if run.stage == "joint"], workspace


@pytest.fixture
def rounding_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let convolutions add in another order where the batch is one image, as a GPU's choice of kernel does."""

    def in_halves(layer: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if len(x) > 1 or x.shape[1] == 1:
            return plain(layer, x, weight, bias)
        half = x.shape[1] // 2
        return plain(layer, x[:, :half], weight[:, :half], bias) + plain(layer, x[:, half:], weight[:, half:], None)

    plain = nn.Conv2d._conv_forward
    monkeypatch.setattr(nn.Conv2d, "_conv_forward", in_halves)


@pytest.mark.usefixtures("rounding_by_batch")
def test_rounding_is_no_dependence_and_a_dependence_is_found(trained: tuple[list[Run], Workspace]) -> None:
    runs, workspace = trained
    found = {run.method: audit_run(run, workspace) for run in runs}
    assert found[INDEPENDENT_METHOD].verdict == INDEPENDENT
    assert 0 < found[INDEPENDENT_METHOD].largest_difference < TOLERANCE / 100
    assert set(found[INDEPENDENT_METHOD].changed.values()) == {0.0}
    assert found[DEPENDENT_METHOD].verdict == DEPENDS
    assert found[DEPENDENT_METHOD].largest_difference > 10 * TOLERANCE
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.usefixtures("rounding_by_batch")
def test_in_bfloat16_the_rounding_alone_is_beyond_the_tolerance(trained: tuple[list[Run], Workspace]) -> None:
    """What the audit would say if it did not compute in float32."""
    runs, workspace = trained
    run = next(run for run in runs if run.method == INDEPENDENT_METHOD)
    network, predict = initial_predictor(run, workspace)
    network.load_state_dict(kept_weights(run, workspace))
    found = _compare(run, predict, workspace.split(run.seed).test, workspace.manifest.labels)
    assert found.verdict == (DEPENDS if workspace.settings.precision == "bfloat16" else INDEPENDENT)


def test_runs_without_weights_are_left_out_and_told(
    trained: tuple[list[Run], Workspace], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As those of a published ledger that an experiment goes on from."""
    runs, workspace = trained

    def lost(run: Run, workspace: Workspace) -> Finding:
        if run.method == DEPENDENT_METHOD:
            raise LostWeightsError(run.run_id, "not here")
        return audit_run(run, workspace)

    monkeypatch.setattr(batch_dependence, "audit_run", lost)
    assert [one.method for one in audit_experiment(runs, None, workspace)] == [INDEPENDENT_METHOD]
    assert "1 of 2 runs are not audited, as their weights are not here" in caplog.text
    with pytest.raises(UserError, match=r"the weights of .* are not here; audit where the runs were done"):
        audit_experiment(runs, [DEPENDENT_METHOD], workspace)
