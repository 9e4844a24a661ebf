"""Learning from raters' votes: the loss of a distribution, in every stage, and nothing else is another."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import Tensor, nn

from benchmark.config import DataSettings, UserError, load_config
from benchmark.data.formats.raf_db import read_raf_db
from benchmark.data.sources import find_dataset
from benchmark.engine.experiment import Request, run_experiment
from benchmark.ledger import Ledger, Record, load_ledger
from benchmark.plan import Run
from benchmark.reporting.formats import to_markdown
from benchmark.reporting.report import make_table
from benchmark.reporting.side_by_side import compare_ledgers
from benchmark.training.fit import Execution, Task, fit
from benchmark.training.fusion import StoredOutputs, initial_fusion, train_on_stored_outputs
from benchmark.training.images import image_task
from benchmark.training.stacked import stacks, train_together
from benchmark.training.trial import TASKS, training_part
from benchmark.training.workspace import Workspace, epoch_order
from tests.conftest import NARROW, TINY
from tests.data.formats import layouts
from tests.training.conftest import Quiet
from tests.training.random_outputs import place_of_random_outputs
from tests.training.test_fit import LABELS, stage

METHODS = ["late", "early", "early:features=cross-fitted", "joint"]
KINDS = [*METHODS, None]


class Fixed(nn.Module):
    """Logits of the two images e_1 and e_2 are the rows of the weights; at first (ln 3, 0) and (0, 0)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[math.log(3), 0.0], [0.0, 0.0]]))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


def two_images(targets: Tensor) -> Task:
    def evaluate(_: nn.Module) -> dict[str, np.ndarray]:
        return {"validation": np.eye(2, dtype=np.float32)[[0, 1, 1]], "test": np.eye(2, dtype=np.float32)[[1, 1]]}

    return Task(lambda _: [(torch.eye(2), targets)], 1, evaluate, LABELS)


def test_loss_of_a_distribution_is_its_cross_entropy() -> None:
    """Probabilities (.75, .25) and (.5, .5) against votes (.6, .4) and (.1, .9).

    -(.6 ln .75 + .4 ln .25) = .7271287, and ln 2 = .6931472. The gradient is (p - q) / 2, and Adam's first step the
    rate against its sign. The first image is right by its majority, the second is not.
    """
    outcome = fit(Fixed(), two_images(torch.tensor([[0.6, 0.4], [0.1, 0.9]])), stage(epochs=1))
    assert outcome.history[0]["train_loss"] == pytest.approx((0.7271287 + 0.6931472) / 2, abs=1e-6)
    assert outcome.history[0]["train_accuracy"] == 0.5
    expected = torch.tensor([[math.log(3) - 0.1, 0.1], [-0.1, 0.1]])
    torch.testing.assert_close(outcome.state["weight"], expected, atol=1e-5, rtol=0)


def test_a_distribution_of_one_class_is_that_class() -> None:
    soft = fit(Fixed(), two_images(torch.eye(2)), stage())
    hard = fit(Fixed(), two_images(torch.tensor([0, 1])), stage())
    torch.testing.assert_close(soft.state["weight"], hard.state["weight"], atol=1e-6, rtol=0)
    for row, other in zip(soft.history, hard.history, strict=True):
        assert row == pytest.approx(other)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_micro_batches_of_votes_take_the_steps_of_the_whole_batch(size: int) -> None:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(7, 2, generator=generator, dtype=torch.float64)
    votes = torch.rand(7, 2, generator=generator, dtype=torch.float64)
    task = replace(two_images(votes), batches=lambda _: [(images, votes / votes.sum(1, keepdim=True))])
    whole, parts = (fit(Fixed().double(), task, stage(), Execution(micro_batch=n)) for n in (None, size))
    torch.testing.assert_close(parts.state["weight"], whole.state["weight"], atol=1e-12, rtol=0)
    assert parts.history[-1] == pytest.approx(whole.history[-1])


def test_votes_that_a_data_set_does_not_have_are_refused(faces: Path) -> None:
    with pytest.raises(
        UserError, match=r"needs raters' votes.*which synthetic faces does not have; leave data.labels at majority"
    ):
        find_dataset(DataSettings(dataset="raf-db", root=faces, labels="votes"), faces)


@pytest.fixture(scope="module")
def voted(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Run], Workspace]:
    """Random outputs of networks, and votes of which the label has most."""
    plan, workspace = place_of_random_outputs(tmp_path_factory.mktemp("voted"), ["early:width=8"])
    labels = workspace.manifest.labels
    votes = np.random.default_rng(0).dirichlet(np.ones(7), len(labels)) + 1.5 * np.eye(7)[labels]
    targets = (votes / votes.sum(1, keepdims=True)).astype(np.float32)
    return plan, replace(workspace, manifest=replace(workspace.manifest, targets=targets))


def first_loss(run: Run, workspace: Workspace) -> float:
    """The mean cross entropy of a head as it starts over the training images, by numpy in float64."""
    outputs = StoredOutputs(run, workspace)
    rows = np.concatenate(epoch_order(run, workspace.split(run.seed).train, 1))
    head = initial_fusion(run, [branch.features.shape[1] for branch in outputs.branches], workspace).double()
    branches = [
        branch._replace(features=branch.features.double())
        for branch in outputs.training_batch(workspace.on_device(rows))
    ]
    scores = head(branches).detach().numpy()
    assert workspace.manifest.targets is not None
    return float(-(workspace.manifest.targets[rows] * log_softmax(scores, axis=1)).sum(1).mean())


def in_one_batch(run: Run) -> Run:
    return replace(run, hyperparameters={**run.hyperparameters, "batch_size": 200})


def test_a_head_alone_and_in_a_stack_learns_the_votes(voted: tuple[list[Run], Workspace]) -> None:
    plan, workspace = voted
    runs = [in_one_batch(run) for run in plan if run.kind == "fusion"]
    (members,) = stacks(runs, workspace)
    for (run, _, _), together in zip(members, train_together(members, workspace), strict=True):
        alone = train_on_stored_outputs(run, workspace)
        assert alone.history[0]["train_loss"] == pytest.approx(first_loss(run, workspace), rel=1e-5)
        for row, other in zip(together.history, alone.history, strict=True):
            assert row == pytest.approx(other, abs=1e-4)


@pytest.mark.parametrize("kind", ["backbone", "fusion"])
def test_trials_and_images_come_with_their_votes(voted: tuple[list[Run], Workspace], kind: str) -> None:
    plan, workspace = voted
    run = next(run for run in plan if run.kind == kind)
    tasks = [TASKS[run.stage](run, training_part(workspace))[1]]
    if kind == "backbone":
        tasks.append(image_task(run, workspace))
    assert workspace.manifest.targets is not None
    for task in tasks:
        for (_, given), rows in zip(task.batches(1), epoch_order(run, workspace.split(run.seed).train, 1), strict=True):
            np.testing.assert_array_equal(given.numpy(), workspace.manifest.targets[rows])


def ferplus(root: Path, patch: pytest.MonkeyPatch, second: int) -> Path:
    """120 images of FERPlus: ten raters each, of whom `second` name the class after the majority's."""
    usages = ["Training"] * 80 + ["PublicTest"] * 16 + ["PrivateTest"] * 24
    rows = [[0] * 10 for _ in usages]
    for number, row in enumerate(rows):
        row[number % 8], row[(number + 1) % 8] = 10 - second, second
    return layouts.ferplus_votes(layouts.fer2013(root, usages, patch), usages, rows)


def run_of(root: Path, folder: Path, patch: pytest.MonkeyPatch, second: int, labels: str) -> Ledger:
    data = {"data.dataset": "ferplus", "data.root": ferplus(root, patch, second), "data.labels": labels}
    settings = load_config("demo", {**TINY, **data, "methods": METHODS, "backbones": NARROW})
    request = Request(settings, f"{labels}-{second}", folder / "results", folder / "data", "cpu", workers=1)
    run_experiment(request, Quiet())
    return load_ledger(request.folder)


@pytest.fixture(scope="module")
def ledgers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ledger]:
    """The same images thrice: by majority, by votes of which 3 in 10 are another class's, by unanimous votes."""
    folder = tmp_path_factory.mktemp("ferplus")
    with pytest.MonkeyPatch.context() as patch:
        return {
            name: run_of(folder / str(second), folder, patch, second, labels)
            for name, second, labels in (("majority", 3, "majority"), ("votes", 3, "votes"), ("unanimous", 0, "votes"))
        }


def runs_of(ledger: Ledger, kind: str | None) -> list[Record]:
    """The runs of a method, or of networks and their folds, in an order that does not depend on their ids."""
    found = [record for record in ledger.records if record.method == kind]
    return sorted(found, key=lambda record: (record.backbones, record.hyperparameters.get("fold", 0)))


@pytest.mark.parametrize("kind", KINDS)
def test_every_stage_learns_the_votes_and_only_them(ledgers: dict[str, Ledger], kind: str | None) -> None:
    """Votes of one class alone give what the class gives; other votes give another network, on the same images."""
    runs = [[ledger.predictions(r.run_id) for r in runs_of(ledger, kind)] for ledger in ledgers.values()]
    for hard, soft, unanimous in zip(*runs, strict=True):
        for other in (soft, unanimous):
            assert hard[["image_id", "split", "label"]].equals(other[["image_id", "split", "label"]])
        scores = [frame.filter(like="logit_").to_numpy() for frame in (hard, soft, unanimous)]
        assert np.abs(scores[0] - scores[1]).max() > 1e-3
        np.testing.assert_allclose(scores[0], scores[2], atol=1e-4)


def test_votes_are_told_apart_in_ids_and_tables(ledgers: dict[str, Ledger]) -> None:
    majority, votes, _ = ledgers.values()
    ids = [{record.run_id for record in ledger.records} for ledger in ledgers.values()]
    assert not ids[0] & ids[1]
    assert not ids[1] & ids[2], "other votes, other runs"
    assert "labels" not in majority.records[0].hyperparameters
    assert votes.records[0].hyperparameters["labels"] == "votes"
    digests = [ledger.experiment["dataset"] for ledger in ledgers.values()]
    assert digests[1]["content"] == digests[2]["content"] == digests[0]["digest"]
    assert "content" not in digests[0]
    assert len({one["digest"] for one in digests}) == 3
    assert "distribution of each image's votes" in to_markdown(make_table(1, votes))
    assert "votes" not in to_markdown(make_table(1, majority))
    notes = " ".join(compare_ledgers(majority, votes).notes)
    assert "since data and seeds are the same" in notes
    assert "data.labels (majority, votes)" in notes


def test_votes_of_the_classes_in_use_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without happiness, 7 of 10 votes for neutral and 3 for happiness are neutral alone."""
    data = DataSettings(dataset="ferplus", root=ferplus(tmp_path / "a", monkeypatch, 3), labels="votes")
    every = find_dataset(data, tmp_path)
    assert every.targets is not None
    neutral, happiness = (every.classes.index(name) for name in ("neutral", "happiness"))
    row = int(np.flatnonzero(every.labels == neutral)[0])
    assert every.targets[row, [neutral, happiness]] == pytest.approx([0.7, 0.3])
    fewer = find_dataset(data.model_copy(update={"leave_out": ["happiness"]}), tmp_path)
    assert fewer.targets is not None
    np.testing.assert_allclose(fewer.targets.sum(1), 1, atol=1e-6)
    row = int(np.flatnonzero(fewer.labels == fewer.classes.index("neutral"))[0])
    assert fewer.targets[row].max() == 1


def test_without_votes_the_targets_are_the_labels(faces: Path) -> None:
    manifest = read_raf_db(faces)
    workspace = Workspace(load_config("demo"), manifest, "d" * 32, Path(), Path(), "cpu")
    assert workspace.targets is workspace.labels
