import hashlib
from pathlib import Path

import pytest
import torch
from torchvision import models

from backbones import BACKBONES
from backbones.specs import Registry, Source
from benchmark.config import Settings, UserError, load_config
from benchmark.plan import Run, make_plan, stream
from fusion_methods import FUSION_METHODS

DIGEST = "0" * 32


def plan(overrides: dict[str, object] | None = None, digest: str = DIGEST) -> list[Run]:
    return make_plan(load_config("demo", overrides), digest, 7, 600)


def by_label(runs: list[Run]) -> dict[str, Run]:
    return {run.label: run for run in runs}


def test_demo_is_four_backbones_six_pairs_six_methods_three_seeds() -> None:
    runs = plan()
    assert sum(run.kind == "backbone" for run in runs) == 4 * 3
    assert sum(run.kind == "fusion" for run in runs) == 6 * 6 * 3
    assert len({run.run_id for run in runs}) == 120


def test_parents_are_the_branches_of_the_same_seed() -> None:
    runs = plan()
    known = {run.run_id: run for run in runs}
    for run in runs:
        if run.kind == "fusion":
            parents = [known[parent] for parent in run.parents]
            assert [parent.backbones[0] for parent in parents] == list(run.backbones)
            assert {parent.seed for parent in parents} == {run.seed}


def test_ids_are_the_same_in_every_process() -> None:
    assert [run.run_id for run in plan()] == [run.run_id for run in plan()]


def test_ids_of_built_in_methods_are_those_of_finished_ledgers() -> None:
    """They change with `CODE_SCHEMA` alone, since every run of every ledger would be done again."""
    ids = " ".join(run.run_id for run in plan({"with_arms": ["readings", "controls"]}))
    assert hashlib.sha256(ids.encode()).hexdigest()[:16] == "cdbd70db7b3bd659"


@pytest.mark.parametrize(
    ("registry", "name", "changed"),
    [(FUSION_METHODS, "early", {"early"}), (BACKBONES, "vgg11", {None, "late", "early"})],
)
def test_the_source_of_a_plugin_is_part_of_its_runs_ids(
    registry: Registry[object], name: str, changed: set[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    few: dict[str, object] = {"seeds": 1, "methods": ["late", "early"], "backbones": ["resnet18", "vgg11"]}
    ids = {}
    for digest in (None, "1", "2"):
        sources = {} if digest is None else {name: Source(digest, Path("mine.py"), False)}
        monkeypatch.setattr(registry, "sources", sources)
        ids[digest] = {(run.method, run.backbones): run.run_id for run in plan(few)}
    same = {key for key in ids[None] if ids[None][key] == ids["1"][key] == ids["2"][key]}
    different = {key for key in ids[None] if len({found[key] for found in ids.values()}) == 3}
    assert {method for method, _ in different} == changed
    assert (None, ("resnet18",)) in same
    assert len(same) + len(different) == len(ids[None])


def test_what_determines_a_result_changes_its_id() -> None:
    before = by_label(plan())
    backbone, fused, joint = "resnet18 · seed 0", "early · resnet18+vgg11 · seed 0", "joint · resnet18+vgg11 · seed 0"
    changes: list[tuple[dict[str, object], str, tuple[bool, bool, bool]]] = [
        ({"backbone_stage.epochs": 9}, DIGEST, (True, True, True)),
        ({"fusion_stage.learning_rate": 0.5}, DIGEST, (False, True, False)),
        ({"joint_stage.epochs": 9}, DIGEST, (False, False, True)),
        ({"augmentation.flip": 0.1}, DIGEST, (True, True, True)),
        ({"data.image_size": 64}, DIGEST, (True, True, True)),
        ({"data.validation_fraction": 0.3}, DIGEST, (True, True, True)),
        ({}, "1" * 32, (True, True, True)),
        (
            {"seeds": 5, "methods": ["early", "joint"], "backbones": ["vgg13", "resnet18", "vgg11"]},
            DIGEST,
            (False,) * 3,
        ),
    ]
    for overrides, digest, expected in changes:
        after = by_label(plan(overrides, digest))
        changed = tuple(before[label].run_id != after[label].run_id for label in (backbone, fused, joint))
        assert changed == expected, overrides


def test_settings_of_a_method_are_part_of_its_id_however_they_are_written() -> None:
    methods = ["attention-fusion", "attention-fusion:axis=batch", "early:width=64,dropout=0.5"]
    runs = by_label(plan({"methods": methods, "seeds": 1}))
    assert runs["attention-fusion · resnet18+vgg11 · seed 0"].run_id != (
        runs["attention-fusion:axis=batch · resnet18+vgg11 · seed 0"].run_id
    )
    other_order = by_label(plan({"methods": ["early:dropout=0.5,width=64"], "seeds": 1}))
    label = "early:dropout=0.5,width=64 · resnet18+vgg11 · seed 0"
    assert other_order[label].run_id == runs[label].run_id
    assert runs["attention-fusion:axis=batch · resnet18+vgg11 · seed 0"].batch_dependent


def test_streams_depend_on_every_axis_and_not_on_the_method() -> None:
    values = {stream(0, "order"), stream(1, "order"), stream(0, "split"), stream(0, "order", "joint")}
    assert len(values) == 4
    assert stream(3, "split") == stream(3, "split")
    assert all(0 <= value < 2**63 for value in values)


def test_counts_parameters_and_multiply_adds() -> None:
    runs = by_label(plan({"seeds": 1}))
    network = models.resnet18(num_classes=7)
    backbone = runs["resnet18 · seed 0"]
    assert backbone.parameters == sum(p.numel() for p in network.parameters())
    # ResNet18 takes 1.814 GMAC at 224 pixels; its convolutions scale with the number of positions.
    large = by_label(plan({"seeds": 1, "data.image_size": 224}))["resnet18 · seed 0"]
    assert large.macs == pytest.approx(1.814e9, rel=0.01)
    late = runs["late · resnet18+vgg11 · seed 0"]
    other = runs["vgg11 · seed 0"]
    assert (late.parameters, late.macs) == (backbone.parameters + other.parameters, backbone.macs + other.macs)
    early = runs["early · resnet18+vgg11 · seed 0"]
    assert early.macs - late.macs == 1024 * 512 + 512 * 7
    assert early.parameters - late.parameters == (1024 + 1) * 512 + (512 + 1) * 7


def test_copies_of_one_network_are_branches_of_their_own() -> None:
    runs = by_label(plan({"backbones": ["resnet18", "resnet18#2"], "seeds": 1, "methods": ["late"]}))
    assert runs["resnet18 · seed 0"].run_id != runs["resnet18#2 · seed 0"].run_id
    assert "late · resnet18+resnet18#2 · seed 0" in runs


def test_wide_vgg_features_are_projected() -> None:
    methods = ["attention-fusion", "attention-fusion:axis=batch,backbones=fine-tuned", "early"]
    runs = by_label(plan({"backbones": ["vgg11:head=classifier", "resnet18"], "methods": methods, "seeds": 1}))
    label = "attention-fusion · vgg11:head=classifier+resnet18 · seed 0"
    usual = by_label(plan({"backbones": ["vgg11", "resnet18"], "methods": methods, "seeds": 1}))
    fused, plain = runs[label], usual["attention-fusion · vgg11+resnet18 · seed 0"]
    head = runs["vgg11:head=classifier · seed 0"].parameters - usual["vgg11 · seed 0"].parameters
    assert fused.parameters - plain.parameters == head + (4096 + 1) * 512
    with pytest.raises(UserError, match="as many channels as there are features"):
        plan({"backbones": ["vgg11:head=classifier", "resnet18"], "methods": ["attention-fusion:axis=spatial"]})


def test_three_branches() -> None:
    runs = plan({"groups": [["resnet18", "vgg11", "vgg13"]], "seeds": 1})
    assert {run.backbones for run in runs if run.kind == "fusion"} == {("resnet18", "vgg11", "vgg13")}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"methods": ["erly"]}, "no fusion method named 'erly'; nearest: early"),
        ({"backbones": ["resnet18", "resnet19"]}, "no backbone named 'resnet19'; nearest: resnet18"),
        ({"methods": ["early:depth=3"]}, "'early' has no setting 'depth=3'"),
        ({"methods": ["attention-fusion:axis=time"]}, "no axis 'time'"),
        ({"methods": ["early", "early:width=512"]}, "listed twice"),
        ({"backbones": ["vgg11:head=huge"]}, "no head 'huge'"),
        ({"weights": "no/such/file.pth"}, "no weights file"),
        ({"weights": {"resnet81": "none", "default": "none"}}, "no backbone named 'resnet81'; nearest: resnet"),
        ({"weights": {"vgg11": "none"}}, "'weights' says nothing of resnet18; add it or 'default'"),
        ({"data.image_size": 16}, "raise data.image_size"),
        ({"backbones": ["resnet18#x"]}, "write a number after '#'"),
    ],
)
def test_wrong_names_are_one_line(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        plan(overrides)
    assert "\n" not in str(caught.value)


def test_a_weights_file_is_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "resnet18.pth"
    torch.save(models.resnet18().state_dict(), path)
    overrides: dict[str, object] = {"backbones": ["resnet18"], "weights": str(path), "methods": [], "seeds": 1}
    before = plan(overrides)[0].run_id
    copy = tmp_path / "copy.pth"
    copy.write_bytes(path.read_bytes())
    assert plan({**overrides, "weights": str(copy)})[0].run_id != plan({**overrides, "weights": "none"})[0].run_id
    torch.save(models.resnet18().state_dict(), path)
    assert plan(overrides)[0].run_id != before


def test_weights_by_name_are_those_of_each_backbone_and_change_no_id(tmp_path: Path) -> None:
    path = tmp_path / "vgg11.pth"
    path.write_bytes(b"a file")
    base: dict[str, object] = {"backbones": ["resnet18", "vgg11"], "methods": ["late"], "seeds": 1}
    alone = {run.backbones: run for weights in ("none", str(path)) for run in plan({**base, "weights": weights})}
    mixed = {run.backbones: run for run in plan({**base, "weights": {"default": "none", "vgg11": str(path)}})}
    assert mixed["vgg11",].run_id == alone["vgg11",].run_id
    from_scratch = by_label(plan({**base, "weights": "none"}))["resnet18 · seed 0"]
    assert mixed["resnet18",].run_id == from_scratch.run_id
    assert mixed["resnet18", "vgg11"].titles["backbones"] == ["ResNet18 (random start)", "VGG11"]
    assert from_scratch.titles["backbones"] == ["ResNet18"]


def test_the_papers_arms_run_though_nobody_publishes_weights_of_one_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    settings = load_config("paper", {"seeds": 1, "with_arms": ["readings", "controls"]})
    for name in settings.backbones:
        file = models.get_weight(models.get_model_weights(name).__name__ + ".IMAGENET1K_V1").url.rpartition("/")[2]
        (tmp_path / "checkpoints").mkdir(exist_ok=True)
        (tmp_path / "checkpoints" / file).touch()
    starts = {
        run.backbones[0]: (bool(run.hyperparameters["weights"]), run.titles["backbones"][0])
        for run in make_plan(settings, DIGEST, 7, 11044)
        if run.kind == "backbone"
    }
    assert starts["resnet18#2"] == (True, "ResNet18 (#2)")
    assert starts["wide-resnet18:width=1.7"] == (False, "Wide ResNet18 (random start)")
    assert sum(pretrained for pretrained, _ in starts.values()) == 8


def test_settings_are_the_only_input(tiny_settings: Settings) -> None:
    assert len(make_plan(tiny_settings, DIGEST, 7, 100)) == 2 + 5
