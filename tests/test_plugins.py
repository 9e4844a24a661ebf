"""Plug-ins: which files they are made of, which edits make another version, and what loading them refuses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from backbones import BACKBONES
from benchmark import plugins
from benchmark.config import UserError
from benchmark.plugins import (
    blamed,
    carried_files,
    load_plugins,
    loaded_sources,
    meaning,
    remembered_plugins,
    source_digest,
    source_files,
)
from fusion_methods import FUSION_METHODS
from tests.plug_ins import forgotten

SOURCE = '''
import math

from pieces.squash import squash


def scale(values, *, by=2.0):
    """Say what it does."""
    return f"{by:.{3}f} of {squash(values)!r}" if values else {"#": "no comment", **{}}  # one
'''
SAME = """import math
from pieces.squash import squash

# another comment
def scale(values, *,
          by = 2.0):
  "Say it otherwise."

  return f"{by:.{3}f} of {squash(values)!r}" if values else {"#": "no comment", **{}}
"""
EDITS = {
    "a number": ("by=2.0", "by=2.5"),
    "an operator": ("if values", "if not values"),
    "within an f-string": ("of {squash", "off {squash"),
    "a string that looks like a comment": ('"no comment"', '"no  comment"'),
    "an import": ("import math", "import cmath"),
}


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    """What a test loads is forgotten afterwards."""
    with forgotten():
        yield


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A plug-in, a package beside it, of which it imports one module, and a file that it does not import."""
    files = {
        "mine.py": SOURCE,
        "pieces/__init__.py": "",
        "pieces/squash.py": "from . import table\nfrom .table import LIMIT\n\n\ndef squash(x):\n    return x, LIMIT\n",
        "pieces/table.py": "def late():\n    import numpy, deep.down\n\n\nLIMIT = 3\n",
        "pieces/unused.py": "LIMIT = 4\n",
        "deep/down.py": "DEPTH = 1\n",
        "other.py": "import mine\n",
        "fusion_methods.py": "import other\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path / "mine.py"


def test_the_files_of_a_plugin_are_those_beside_it_that_it_imports(project: Path) -> None:
    names = {name: path.relative_to(project.parent).as_posix() for name, path in source_files(project).items()}
    assert names == {
        "": "mine.py",
        "deep.down": "deep/down.py",
        "pieces": "pieces/__init__.py",
        "pieces.squash": "pieces/squash.py",
        "pieces.table": "pieces/table.py",
    }
    assert list(carried_files(project)) == list(names.values())


def test_a_module_of_a_package_is_made_of_its_package_alone(project: Path) -> None:
    inner = project.parent / "pieces" / "squash.py"
    inner.write_text(inner.read_text() + "import pieces.unused\nimport other\n")
    assert set(source_files(inner)) == {"", "pieces", "pieces.table", "pieces.unused"}


def test_what_changes_no_number_changes_no_digest(project: Path) -> None:
    assert meaning(SOURCE.encode()) == meaning(SAME.encode()) == meaning(SOURCE.replace("\n", "\r\n").encode())
    before = source_digest(project)
    project.write_text(SAME)
    assert source_digest(project) == before
    assert source_digest(project.rename(project.with_name("yours.py"))) == before


def test_the_digest_is_the_same_in_every_version_of_python(tmp_path: Path) -> None:
    """Read off Python 3.11, 3.12 and 3.13, between which f-strings became tokens of their own."""
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    assert source_digest(path) == "4c41a02d613b7cbb"


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_makes_another_version(edit: str, project: Path) -> None:
    before = source_digest(project)
    project.write_text(SOURCE.replace(*EDITS[edit]))
    assert source_digest(project) != before


@pytest.mark.parametrize(("name", "changes"), [("pieces/table.py", True), ("deep/down.py", True), ("other.py", False)])
def test_a_module_counts_if_it_is_imported(name: str, changes: bool, project: Path) -> None:
    before = source_digest(project)
    path = project.parent / name
    path.write_text(path.read_text() + "MORE = 5\n")
    assert (source_digest(project) != before) == changes


def test_a_source_that_cannot_be_read_still_has_a_digest(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    digests = set()
    for text in ("x = (\n", "x = (1\n"):
        path.write_text(text)
        digests.add(source_digest(path))
    assert len(digests) == 2


METHOD = """from torch import nn

from fusion_methods import register_fusion
from backbones import register_backbone
import {helper}

register_fusion("{name}", title="T", reference="a test")(type("M", (nn.Module,), {{}}))
register_backbone("{name}-network", title="N", reference="a test")(type("N", (nn.Module,), {{}}))
"""


def write_method(folder: Path, name: str, helper: str, content: str = "X = 1\n") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{helper}.py").write_text(content)
    path = folder / f"{name}.py"
    path.write_text(METHOD.format(name=name, helper=helper))
    return path


def test_what_a_plugin_brings_carries_its_digest(tmp_path: Path) -> None:
    path = write_method(tmp_path, "planted", "planted_beside")
    before = set(FUSION_METHODS.sources), set(BACKBONES.sources)
    load_plugins([path])
    load_plugins([path])
    assert set(FUSION_METHODS.sources) - before[0] == {"planted"}
    assert set(BACKBONES.sources) - before[1] == {"planted-network"}
    found = loaded_sources()["planted"]
    assert (found.digest, found.file, found.installed) == (source_digest(path), path, False)
    assert "late" not in loaded_sources()
    assert sys.path[-1] == str(tmp_path), "a folder beside the plug-in named benchmark must hide none of ours"


def test_two_modules_of_one_name_are_refused(tmp_path: Path) -> None:
    first = write_method(tmp_path / "a", "planted", "planted_twice")
    second = write_method(tmp_path / "b", "planted-too", "planted_twice", "X = 2\n")
    load_plugins([first])
    with pytest.raises(UserError, match=r"imports planted_twice, and .*a/planted_twice.py has that name too; rename"):
        load_plugins([second])


def test_a_plugin_that_is_gone_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.py does not exist; give its path by --plugin"):
        load_plugins([tmp_path / "none.py"])


def test_installed_plugins_count_as_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_method(tmp_path, "planted_installed", "planted_part")
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("mine", "planted_installed", plugins.GROUP)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [entry])
    load_plugins(())
    found = FUSION_METHODS.sources["planted_installed"]
    assert (found.digest, found.installed) == (source_digest(path), True)
    assert plugins.all_digests(()) == [source_digest(path)]


def test_an_installed_plugin_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "planted_broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("mine", "planted_broken", plugins.GROUP)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [entry])
    with pytest.raises(UserError, match="plug-in planted_broken of an installed package fails: ZeroDivisionError"):
        load_plugins(())


def test_an_error_is_blamed_on_the_last_line_of_a_plugin(tmp_path: Path) -> None:
    path = write_method(tmp_path, "planted", "planted_fault", "def fail():\n    raise ValueError('two\\nlines')\n")
    load_plugins([path])
    with pytest.raises(ValueError, match="two") as caught:
        sys.modules["planted_fault"].fail()
    assert blamed(caught.value) == "planted_fault.py:2: ValueError: two lines"
    assert blamed(KeyError("x")) == "KeyError: 'x'"


def test_an_experiment_remembers_where_plugins_came_from() -> None:
    known = {
        "plugins": {
            "mine": {"file": "/a/mine.py", "digest": "1"},
            "net": {"file": "/a/net.py", "digest": "2"},
            "bought": {"file": None, "digest": "3"},
        }
    }
    mine, net, moved = Path("/a/mine.py"), Path("/a/net.py"), Path("/b/mine.py")
    assert remembered_plugins(known, ["late", "mine:width=8", "bought"], ()) == (mine,)
    assert remembered_plugins(known, ["mine", "net#2"], [moved]) == (moved, net)
    assert remembered_plugins({}, ["mine"], [moved]) == (moved,)
