"""Names with settings, and the registry that holds them."""

from __future__ import annotations

import pytest

from backbones import find_backbone, resolve_backbone
from backbones.specs import Registry, Spec, parse_spec, split_spec


def build(size: int, *, axis: str = "feature", gate: bool = True, width: int = 512, dropout: float = 0.0) -> None:
    """Stand for a builder: its keyword-only parameters are the settings."""


def test_settings_are_read_with_the_types_of_their_defaults() -> None:
    spec = parse_spec("fuse:dropout=0.5,axis=batch,gate=false,width=64", build)
    assert spec.name == "fuse"
    assert spec.settings == {"axis": "batch", "gate": False, "width": 64, "dropout": 0.5}


def test_defaults_are_filled_in() -> None:
    expected = Spec("fuse", {"axis": "feature", "gate": True, "width": 512, "dropout": 0.0}, "fuse")
    assert parse_spec("fuse", build) == expected
    assert parse_spec("fuse:", build) == expected


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("fuse:width=64,axis=token", "fuse:axis=token,width=64"),
        ("fuse:axis=feature,gate=true,dropout=0", "fuse"),
        ("fuse:gate=False", "fuse:gate=false"),
        ("fuse:gate=no", "fuse:gate=false"),
        ("fuse:dropout=1", "fuse:dropout=1.0"),
        ("fuse:dropout=.5", "fuse:dropout=0.5"),
        ("fuse:dropout=1e-3", "fuse:dropout=0.001"),
        ("fuse:width=64,width=32", "fuse:width=32"),
        ("fuse:,axis=token,", "fuse:axis=token"),
    ],
)
def test_two_ways_of_writing_one_thing_have_one_text(written: str, text: str) -> None:
    spec = parse_spec(written, build)
    assert spec.text == text
    assert parse_spec(spec.text, build) == spec


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("fuse:size=3", "'fuse' has no setting 'size=3'; write key=value with one of: axis, gate, width, dropout"),
        ("fuse:batch", "'fuse' has no setting 'batch'; write key=value"),
        ("fuse:width=wide", "'fuse': width=wide must be like its default, width=512"),
        ("fuse:width=1.5", "width=1.5 must be like its default"),
        ("fuse:width=true", "width=true must be like its default"),
        ("fuse:dropout=true", "dropout=true must be like its default, dropout=0.0"),
        ("fuse:dropout=some", "dropout=some must be like its default"),
        ("fuse:gate=1", "gate=1 must be like its default, gate=true"),
        ("fuse:axis=3", "axis=3 must be like its default, axis=feature"),
        ("fuse:axis=[", r"axis=\[ must be like its default, axis=feature"),
        ("fuse:axis=", "axis= must be like its default, axis=feature"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_to_write(written: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_spec(written, build)


def test_a_builder_without_settings_says_so() -> None:
    with pytest.raises(
        ValueError, match="'plain' has no setting 'a=1'; write key=value with nothing: it has no settings"
    ):
        parse_spec("plain:a=1", lambda size: None)


def test_a_spec_splits_at_its_first_colon() -> None:
    assert split_spec("fuse:a=1,b=x:y") == ("fuse", "a=1,b=x:y")
    assert split_spec("fuse") == ("fuse", "")


def test_registry_keeps_the_order_of_registration() -> None:
    registry: Registry[int] = Registry("number")
    for name, value in (("two", 2), ("one", 1), ("three", 3)):
        registry.add(name, value)
    assert registry.names() == ["two", "one", "three"]
    assert list(registry) == [2, 1, 3]
    assert registry.find("one") == 1
    assert registry.find("four") is None


def test_registry_refuses_a_taken_name_and_keeps_the_first() -> None:
    registry: Registry[int] = Registry("number")
    registry.add("one", 1)
    with pytest.raises(ValueError, match="a number named 'one' is registered already; choose another name"):
        registry.add("one", 2)
    assert registry.find("one") == 1


@pytest.mark.parametrize("name", ["", "a:b", "a,b", "a=b", "a#2", "a/b", "a b"])
def test_registry_refuses_a_name_that_a_spec_cannot_hold(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a number: leave out"):
        Registry[int]("number").add(name, 1)


def test_an_unknown_name_gets_the_nearest_ones() -> None:
    registry: Registry[int] = Registry("fusion method")
    for name in ("late", "early", "attention-fusion"):
        registry.add(name, 1)
    assert str(registry.unknown("lat")) == "no fusion method named 'lat'; nearest: late"
    assert str(registry.unknown("atention")) == "no fusion method named 'atention'; nearest: attention-fusion, late"
    assert str(registry.unknown("xyz")) == "no fusion method named 'xyz'; known: late, early, attention-fusion"


def test_backbones_are_resolved_without_their_replicate() -> None:
    assert resolve_backbone("vgg11:head=pooled#2") == Spec("vgg11", {"head": "pooled"}, "vgg11")
    assert resolve_backbone("vgg11:head=classifier").text == "vgg11:head=classifier"
    assert find_backbone("resnet18#3").title == "ResNet18"
    assert find_backbone("mobilenet_v3_small").pretrained == "MobileNet_V3_Small_Weights.IMAGENET1K_V1"
