from pathlib import Path

import pytest

from benchmark.cli.options import parse_assignment
from benchmark.config import PROFILES, UserError, load_config, setting_names


@pytest.mark.parametrize("profile", sorted(file.stem for file in PROFILES.glob("*.yaml")))
def test_every_profile_is_valid_and_opens_with_its_command(profile: str) -> None:
    settings = load_config(profile)
    assert settings.profile == profile
    assert (PROFILES / f"{profile}.yaml").read_text().startswith("# make reproduce")


def test_paper_profile_is_the_papers_recipe() -> None:
    settings = load_config("paper")
    stage = settings.backbone_stage
    assert (stage.epochs, stage.batch_size, stage.learning_rate) == (50, 48, 1e-4)
    assert (settings.data.image_size, settings.weights_of("resnet18"), settings.seeds) == (224, "imagenet", 10)
    assert (settings.augmentation.flip, settings.augmentation.rotate) == (0.5, 30)
    assert len(settings.branch_groups()) == 6


def test_overrides_reach_nested_settings_and_keep_their_type() -> None:
    settings = load_config("demo", dict([parse_assignment("backbone_stage.epochs=3"), parse_assignment("seeds=5")]))
    assert settings.backbone_stage.epochs == 3
    assert settings.seeds == 5


def test_pairs_follow_the_order_of_backbones() -> None:
    settings = load_config("demo", {"backbones": ["vgg13", "resnet34", "resnet18"]})
    assert settings.branch_groups() == [("vgg13", "resnet34"), ("vgg13", "resnet18"), ("resnet34", "resnet18")]


def test_groups_may_have_three_branches() -> None:
    settings = load_config("demo", {"groups": [["resnet18", "vgg11", "vgg13"]]})
    assert settings.branch_groups() == [("resnet18", "vgg11", "vgg13")]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"seeds": 0}, ["seeds", "greater than 0"]),
        ({"backbone_stage.epoch": 1}, ["unknown setting 'backbone_stage.epoch'", "backbone_stage.epochs"]),
        ({"seeds.many": 1}, ["seeds.many", "not a section"]),
        ({"data.validation_fraction": 1}, ["data.validation_fraction"]),
        ({"methods": ["late", "late"]}, ["late is listed twice"]),
        ({"groups": [["resnet18"]]}, ["fewer than two"]),
        ({"groups": [["resnet18", "vgg16"]]}, ["vgg16", "not among the backbones"]),
        ({"augmentation.rotate": 200}, ["augmentation.rotate"]),
        ({"data.dataset": "rafdb"}, ["data.dataset", "raf-db"]),
    ],
)
def test_wrong_settings_are_one_line(overrides: dict[str, object], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        load_config("demo", overrides)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_unknown_profile_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean demo"):
        load_config("dmo")


def test_profile_file_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text((PROFILES / "demo.yaml").read_text().replace("profile: demo\n", ""))
    assert load_config(str(path)).profile == "mine"
    path.write_text("a: [")
    with pytest.raises(UserError, match="not valid YAML"):
        load_config(str(path))
    path.write_text("text")
    with pytest.raises(UserError, match="holds no settings"):
        load_config(str(path))
    with pytest.raises(UserError, match="does not exist"):
        load_config(str(tmp_path / "other.yaml"))


def test_assignment_needs_a_name_and_a_value() -> None:
    with pytest.raises(UserError, match="name=value"):
        parse_assignment("seeds")


def test_setting_names_are_dotted() -> None:
    assert {"seeds", "data.image_size", "data.synthetic.train", "joint_stage.learning_rate"} <= set(setting_names())
