"""The GPU's path without a GPU: every stage, method and backbone on fake CUDA tensors, and where the host waits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from tabulate import tabulate
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException

from backbones import BACKBONES, BranchOutput
from benchmark import training
from benchmark.audit import batch_dependence
from benchmark.audit.batch_dependence import audit_run
from benchmark.audit.determinism import IDENTICAL, repeat_run
from benchmark.config import load_config
from benchmark.data.sources import open_dataset
from benchmark.data.store import stored_images
from benchmark.ledger import load_ledger, read_record, write_experiment
from benchmark.plan import Run, make_plan
from benchmark.training import execute, fit, fusion, latency, resume, stacked
from benchmark.training.stacked import stacks, train_together
from benchmark.training.workspace import Workspace, epoch_order
from fusion_methods import FUSION_METHODS, resolve_fusion
from tests.conftest import NARROW
from tests.fake_gpu import Watch, fake_gpu, steps_counted, waits_by_epoch

pytestmark = [
    pytest.mark.skipif(torch.version.cuda is None, reason="this torch has no CUDA, so no fake tensors of it"),
    pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor"),  # a copy of a head looks at it
]

ARMS = [
    *(f"attention-fusion:axis={axis}" for axis in ("token", "spatial", "batch")),
    "attention-fusion:backbones=fine-tuned",
    "early:partner=shuffled",
    "early:features=cross-fitted",
    "early:dropout=0.5",
]
PAIR = ["vgg11", NARROW[0]]  # without batch normalisation, and with it
METHODS = [*FUSION_METHODS.names(), *ARMS]
UNSTACKED = {  # each has nothing to train, sees images or maps, draws at random, or has a loss of its own
    *("late", "maximum", "product", "majority", "joint", "mmtm", "cross-attention"),
    *("agm", "bottleneck", "evidential", "energy-weighted", "experts", "joint-auxiliary", "mmpareto", "ogm-ge", "pmr"),
    *("attention-fusion:axis=spatial", "attention-fusion:backbones=fine-tuned"),
    *("early:partner=shuffled", "early:features=cross-fitted", "early:dropout=0.5"),
}
# How often the host waits for the device in an epoch, however many steps and batches it has. Training uploads the
# order, and of images the augmentation's maps and colours, and downloads loss and accuracy together; a stack's order is
# uploaded beforehand. Evaluation downloads the scores of both splits together, a head's on stored outputs split by
# split, a cross-fitted one's copy by copy.
WAITS = {
    "backbone": {"training": 4, "evaluation": 1},
    "joint": {"training": 4, "evaluation": 1},
    "stored": {"training": 2, "evaluation": 2},
    "cross-fitted": {"training": 2, "evaluation": 4},
    "stack": {"training": 1, "evaluation": 2},
}


@dataclass(frozen=True)
class Place:
    """A plan on a few synthetic faces in the paper's precision, its backbones trained, and a fake GPU to run it on."""

    workspace: Workspace
    plan: list[Run]

    def run(self, method: str | None, seed: int = 0) -> Run:
        """Return a method's run, or the first backbone's."""
        text = None if method is None else resolve_fusion(method).text
        return next(run for run in self.plan if run.method == text and run.seed == seed)


def make_place(folder: Path, **changes: Any) -> Place:
    """Plan the paper's profile, but for what tests need no more of."""
    settings = load_config(
        "paper",
        {
            "data.dataset": "synthetic",
            "data.synthetic.train": 98,
            "data.synthetic.test": 36,
            "data.image_size": 48,
            "weights": "none",
            "backbones": PAIR,
            "groups": [PAIR],
            **{f"{stage}_stage.epochs": 1 for stage in ("backbone", "fusion", "joint")},
            **changes,
        },
    )
    manifest = open_dataset(settings.data, folder / "data").manifest
    images = stored_images(manifest, settings.data.image_size, folder / "data")
    workspace = Workspace(settings, manifest, "d" * 32, images, folder / "results", "cuda", checkpoint_seconds=math.inf)
    return Place(workspace, make_plan(settings, "d" * 32, len(manifest.classes), int((~manifest.is_test).sum())))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Two seeds of every method, of which the backbones are trained, and those that leave a fold out of the first."""
    place = make_place(tmp_path_factory.mktemp("fake"), methods=METHODS, seeds=2)
    main: dict[str, list[str]] = {"backbones": [], "methods": [], "groups": []}
    data = {"name": "x", "title": "x", "digest": "", "synthetic": True, "classes": ["a", "b"], "images": {"test": [1]}}
    about = {"experiment": "fake", "main": main, "settings": {"profile": "x", "seeds": 1}, "dataset": data}
    write_experiment(place.workspace.experiment, about)
    with fake_gpu() as watch, patch.object(latency, "BATCHES", 1):
        for run in [run for run in place.plan if run.kind == "backbone" or (run.kind == "fold" and run.seed == 0)]:
            watch.clear()
            record = execute(run, place.workspace)
            assert record.device == "fake GPU"
            assert watch.convolved == {torch.bfloat16}
    return place


@pytest.fixture
def gpu(trained: Place) -> Iterator[tuple[Place, Watch]]:
    """The same with a fake GPU of its own; a run that a test trains is trained for the following ones."""
    with fake_gpu() as watch, patch.object(latency, "BATCHES", 1), patch.object(batch_dependence, "SHUFFLES", 1):
        yield replace(trained, workspace=replace(trained.workspace, micro_batches={})), watch


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_trained_and_audited(gpu: tuple[Place, Watch], method: str) -> None:
    place, watch = gpu
    run = place.run(method)
    record = execute(run, place.workspace)
    assert record.device == "fake GPU"
    assert run.stage != "joint" or torch.bfloat16 in watch.convolved
    watch.clear()
    with patch.object(training, "train", None):  # its weights are there
        finding = audit_run(run, place.workspace)
    assert finding.run_id == run.run_id
    assert watch.convolved == {torch.float32} if run.stage == "joint" else torch.bfloat16 not in watch.convolved


@pytest.mark.parametrize("batch_size", [48, 30])
@pytest.mark.parametrize("method", [None, "joint", "early", "early:features=cross-fitted"])
def test_the_host_waits_as_often_as_the_table_says(
    gpu: tuple[Place, Watch], method: str | None, batch_size: int
) -> None:
    place, watch = gpu
    run = changed(place.run(method), epochs=2, batch_size=batch_size)
    with waits_by_epoch(watch, fit, training="_learn_epoch", evaluation="_evaluated") as found:
        training.train(run, place.workspace)
    for phase, waits in WAITS[run.stage].items():
        first, second = found[phase]  # the first also uploads what stays on the device
        assert waits == second <= first, watch.waits


def changed(run: Run, **hyperparameters: int) -> Run:
    """Return a run with other settings, and an id of its own."""
    words = [f"{name}-{value}" for name, value in hyperparameters.items()]
    return replace(
        run, run_id="-".join([run.run_id, *words]), hyperparameters={**run.hyperparameters, **hyperparameters}
    )


@pytest.mark.parametrize("method", [None, "early", "joint"])
def test_a_run_goes_on_from_its_checkpoint(gpu: tuple[Place, Watch], method: str | None) -> None:
    place, _ = gpu
    run, workspace = changed(place.run(method), epochs=2), replace(place.workspace, checkpoint_seconds=0.0)
    checkpoint = resume.EpochCheckpoint

    class KilledError(BaseException):
        """What a kill looks like from within a test."""

    def offer_and_die(self: Any, learning: fit.Learning) -> None:
        offer(self, learning)
        raise KilledError

    def restore_and_look(self: Any, learning: fit.Learning) -> None:
        restore(self, learning)
        restored.append(learning.epoch)
        for weight in learning.network.parameters():
            moments = learning.optimizer.state[weight]  # none for what has no gradient, as a fused backbone's head
            assert {value.device.type for value in moments.values()} <= {"cuda"}
            assert not moments or moments["exp_avg"].stride() == weight.stride()

    offer, restore, restored = checkpoint.offer, checkpoint.restore, []
    with patch.object(checkpoint, "offer", offer_and_die), pytest.raises(KilledError):
        training.train(run, workspace)
    with patch.object(checkpoint, "restore", restore_and_look):
        outcome = training.train(run, workspace)
    assert restored == [1]
    assert [row["epoch"] for row in outcome.history] == [1, 2]


@pytest.mark.parametrize("method", [None, "joint", "attention-fusion:axis=spatial"])
def test_a_batch_that_memory_does_not_hold_goes_in_micro_batches(gpu: tuple[Place, Watch], method: str | None) -> None:
    place, _ = gpu
    run, step = changed(place.run(method), epochs=1, batch_size=24), fit._step

    def fail_beyond_12(learning: fit.Learning, parts: Any, images: int) -> list[Tensor]:
        held = list(parts)
        if max(len(targets) for _, targets in held) > 12:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(learning, held, images)

    with patch.object(fit, "_step", fail_beyond_12):
        training.train(run, place.workspace)
    assert place.workspace.micro_batches == {run.run_id: 12}


def test_a_run_is_repeated_and_compared(gpu: tuple[Place, Watch]) -> None:
    place, _ = gpu
    run, experiment = place.run(None), place.workspace.experiment
    found = repeat_run(run, read_record(experiment, run.run_id), load_ledger(experiment), place.workspace)
    assert found.verdict == IDENTICAL  # zeros, both times


@pytest.mark.parametrize("method", METHODS)
def test_heads_are_stacked_and_wait_as_often_as_the_table_says(gpu: tuple[Place, Watch], method: str) -> None:
    place, watch = gpu
    runs = [changed(place.run(method, seed), epochs=2) for seed in (0, 1)]
    found = stacks(runs, place.workspace)
    assert [len(members) for members in found] == ([] if method in UNSTACKED else [2])
    for members in found:
        with waits_by_epoch(watch, stacked, training="_learn_epoch", evaluation="_evaluate") as waits:
            outcomes = train_together(members, place.workspace)
        assert {phase: counts[1] for phase, counts in waits.items()} == WAITS["stack"], watch.waits
        assert [len(outcome.history) for outcome in outcomes] == [2, 2]


@pytest.mark.parametrize("name", BACKBONES.names())
def test_a_backbone_is_trained(name: str, tmp_path: Path) -> None:
    place = make_place(tmp_path, backbones=[name], groups=[], methods=["late"], seeds=1)
    with fake_gpu() as watch:
        training.train(place.run(None), place.workspace)
    assert watch.convolved == {torch.bfloat16}


def test_labels_on_the_cpu_are_found(gpu: tuple[Place, Watch]) -> None:
    place, _ = gpu
    labels = torch.from_numpy(place.workspace.manifest.labels)
    with patch.object(Workspace, "targets", labels), pytest.raises(RuntimeError, match="device"):
        training.train(changed(place.run(None), epochs=1), place.workspace)


def test_a_look_at_the_loss_is_found(gpu: tuple[Place, Watch]) -> None:
    place, _ = gpu
    step = fit._step

    def look(*arguments: Any) -> list[Tensor]:
        sums = step(*arguments)
        assert sums[0][0] >= 0
        return sums

    with patch.object(fit, "_step", look), pytest.raises(DataDependentOutputException):
        training.train(changed(place.run(None), epochs=1), place.workspace)


def test_features_of_another_type_are_found(gpu: tuple[Place, Watch]) -> None:
    place, _ = gpu
    branch_output = fusion.branch_output

    def uncast(*arguments: Any) -> BranchOutput:
        output = branch_output(*arguments)
        return output._replace(features=output.features.bfloat16())

    with patch.object(fusion, "branch_output", uncast), pytest.raises(RuntimeError, match="addmm of different types"):
        training.train(changed(place.run("joint"), epochs=1), place.workspace)


def test_a_copy_in_a_step_is_found(gpu: tuple[Place, Watch]) -> None:
    place, watch = gpu
    step = fit._step

    def copy(*arguments: Any) -> list[Tensor]:
        return [seen.cpu() for seen in step(*arguments)]

    run = changed(place.run(None), epochs=2, batch_size=30)
    with waits_by_epoch(watch, fit, training="_learn_epoch") as found, patch.object(fit, "_step", copy):
        training.train(run, place.workspace)
    steps = len(epoch_order(run, place.workspace.split(0).train, 1))
    assert found["training"][1] == WAITS["backbone"]["training"] - 1 + steps  # the sum of the losses is on the CPU now


@pytest.mark.slow
def test_the_papers_networks_wait_for_nothing_in_a_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At 224 px in bfloat16; prints the table of what a training step does on the device."""
    pairs = [["resnet18", "resnet34"], ["vgg13", "resnet34"]]
    networks = ["resnet18", "resnet34", "vgg11", "vgg13"]
    changes = {"data.image_size": 224, "backbones": networks, "groups": pairs, "methods": ["joint"], "seeds": 1}
    place = make_place(tmp_path, **changes)
    rows = []
    with fake_gpu() as watch:
        for run in place.plan:
            watch.clear()
            with steps_counted(watch) as counts:
                training.train(run, place.workspace)
            assert torch.bfloat16 in watch.convolved
            rows.append({"run": run.label, **counts[-1]})
    assert {row["waits"] for row in rows} == {0}
    with capsys.disabled():
        print(f"\nA training step on the device\n{tabulate(rows, headers='keys')}")
