"""How methods are named, configured, refused and brought in from a user's own file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn

from fusion_methods import FUSION_METHODS, build_fusion, load_plugin, register_fusion, resolve_fusion
from fusion_methods.attention import AttentionFusion

PLUGIN = """from torch import nn

from fusion_methods import register_fusion


@register_fusion("mine", title="My own", reference="this test")
class Mine(nn.Module):
    def __init__(self, feature_dims, num_classes, *, width: int = 8):
        super().__init__()
        self.layer = nn.Linear(sum(feature_dims), num_classes)
"""


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers or imports is forgotten afterwards."""
    monkeypatch.setattr(FUSION_METHODS, "_entries", dict(FUSION_METHODS._entries))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("ferfuse_plugin_"):
            del sys.modules[name]


def plugin(folder: Path, text: str, name: str = "my_method.py") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_five_methods_of_the_paper() -> None:
    paper = {"late", "early", "joint", "attention-fusion", "attention-fusion-without-local"}
    assert paper <= set(FUSION_METHODS.names())
    assert [name for name in sorted(paper) if resolve_fusion(name).end_to_end] == ["joint"]


def test_every_method_has_a_title_and_a_source() -> None:
    titles = [method.title for method in FUSION_METHODS]
    assert len(set(titles)) == len(titles)
    assert all(method.title and method.reference for method in FUSION_METHODS)


@pytest.mark.parametrize(
    ("written", "text", "title"),
    [
        ("late", "late", "Late fusion"),
        ("late:", "late", "Late fusion"),
        ("attention-fusion:axis=feature,gate=true", "attention-fusion", "Attention fusion"),
        (
            "attention-fusion:gate=false,axis=batch",
            "attention-fusion:axis=batch,gate=false",
            "Attention fusion (axis=batch, gate=false)",
        ),
        ("early:backbones=frozen", "early", "Early fusion"),
        ("early:backbones=fine-tuned", "early:backbones=fine-tuned", "Early fusion (backbones=fine-tuned)"),
        ("joint:backbones=fine-tuned", "joint", "Joint fusion"),
        (
            "joint:backbones=frozen,width=64",
            "joint:width=64,backbones=frozen",
            "Joint fusion (width=64, backbones=frozen)",
        ),
    ],
)
def test_specs_have_one_text_and_title(written: str, text: str, title: str) -> None:
    spec = resolve_fusion(written)
    assert (spec.text, spec.title) == (text, title)
    assert resolve_fusion(spec.text) == spec


@pytest.mark.parametrize(
    ("written", "learn"),
    [
        ("early", False),
        ("early:backbones=fine-tuned", True),
        ("joint", True),
        ("joint:backbones=frozen", False),
        ("joint:width=64,backbones=frozen,dropout=0.5", False),
    ],
)
def test_a_spec_says_whether_the_backbones_learn(written: str, learn: bool) -> None:
    spec = resolve_fusion(written)
    assert spec.end_to_end is learn
    assert "backbones" not in spec.module.settings


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("lat", "no fusion method named 'lat'; nearest: .*late"),
        ("early:backbones=warm", "'early': write backbones=frozen or (backbones=)?fine-tuned, not backbones=warm"),
        ("late:width=3", "'late' has no setting 'width=3'.*it has no settings"),
        ("early:depth=3", "'early' has no setting 'depth=3'; write key=value with one of: width, dropout"),
        ("early:width=wide", "must be like its default, width=512"),
    ],
)
def test_a_wrong_spec_is_refused(written: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve_fusion(written)


def test_settings_reach_the_module() -> None:
    module = build_fusion("attention-fusion:axis=token,tokens=4,width=32,kernel=5", (24, 40), 7)
    assert isinstance(module, AttentionFusion)
    assert (module.axis, module.tokens, module.gate) == ("token", 4, True)
    assert module.project[0].weight.shape == (32, 24)
    assert module.local.conv.weight.shape == (1, 1, 5)


def test_dropout_reaches_the_module() -> None:
    rates = [m.p for m in build_fusion("early:dropout=0.25", (24, 40), 7).modules() if isinstance(m, nn.Dropout)]
    assert rates == [0.25]


def test_a_setting_without_a_default_is_refused() -> None:
    with pytest.raises(ValueError, match="fusion method 'bare': every setting needs a default"):

        @register_fusion("bare", title="Bare", reference="this test")
        class Bare(nn.Module):
            def __init__(self, feature_dims: object, num_classes: int, *, width: int) -> None: ...

    assert FUSION_METHODS.find("bare") is None


def test_a_taken_name_is_refused() -> None:
    with pytest.raises(ValueError, match="a fusion method named 'late' is registered already"):
        register_fusion("late", title="Later", reference="this test")(nn.Module)
    assert resolve_fusion("late").title == "Late fusion"


def test_a_declared_number_of_branches_is_not_exceeded() -> None:
    @register_fusion("pair", title="Pair", reference="this test")
    class Pair(nn.Module):
        max_branches = 2

        def __init__(self, feature_dims: object, num_classes: int) -> None:
            super().__init__()

    assert isinstance(build_fusion("pair", (2, 3), 7), Pair)
    with pytest.raises(ValueError, match="pair takes 2 branches, not 3"):
        build_fusion("pair", (2, 3, 4), 7)


def test_a_plugin_is_registered_and_built(tmp_path: Path) -> None:
    load_plugin(plugin(tmp_path, PLUGIN))
    assert resolve_fusion("mine:width=16").title == "My own (width=16)"
    assert build_fusion("mine", (2, 3), 7).layer.weight.shape == (7, 5)


def test_a_plugin_loaded_twice_is_loaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = plugin(tmp_path, PLUGIN)
    load_plugin(path)
    built = resolve_fusion("mine").method.build
    monkeypatch.chdir(tmp_path)
    load_plugin(Path("my_method.py"))
    assert resolve_fusion("mine").method.build is built


def test_plugins_of_one_name_in_two_folders_are_two(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder, name in ((first, "mine"), (second, "yours")):
        folder.mkdir()
        load_plugin(plugin(folder, PLUGIN.replace('"mine"', f'"{name}"')))
    load_plugin(first / "my_method.py")
    assert {"mine", "yours"} <= set(FUSION_METHODS.names())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import math\n\nmath.sqrt(-1)\n", "at line 3: ValueError: (math domain error|expected a nonnegative input.*)"),
        ("x = 1\ny = (\n", "at line 2: SyntaxError: '\\(' was never closed"),
        (PLUGIN.replace('"mine"', '"late"'), "at line 6: ValueError: a fusion method named 'late' is registered"),
        (PLUGIN.replace("width: int = 8", "width: int"), "at line 6: ValueError: .*every setting needs a default"),
        ("import no_such_module\n", "at line 1: ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_a_plugin_that_fails_names_its_own_line(text: str, message: str, tmp_path: Path) -> None:
    path = plugin(tmp_path, text)
    with pytest.raises(ValueError, match=f"plug-in .*my_method.py fails {message}"):
        load_plugin(path)
    assert "mine" not in FUSION_METHODS.names()


def test_a_missing_plugin_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"plug-in .*none\.py does not exist; give the path of a Python file"):
        load_plugin(tmp_path / "none.py")


def test_a_file_that_is_no_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"notes\.txt is not a Python file; its name must end in \.py"):
        load_plugin(plugin(tmp_path, "late = 1", "notes.txt"))
