"""Who may import whom: the contracts of pyproject.toml, checked by import-linter."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_import_rules_hold() -> None:
    """In a process of its own, since import-linter switches off the loggers that are there before it."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run(['--no-cache'])"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_fusion_methods_do_not_know_each_other() -> None:
    """A method may use the shared modules, whose names begin with an underscore, and no other method."""
    folder = ROOT / "fusion_methods"
    methods = {path.stem for path in folder.glob("[!_]*.py")}
    assert "late" in methods
    for path in folder.glob("*.py"):
        if path.name == "__init__.py":
            continue
        text = path.read_text(encoding="utf-8")
        assert not [name for name in methods if f"fusion_methods.{name} " in text.replace("\n", " ")], path


@pytest.mark.parametrize(("library", "room"), [("mlflow", "benchmark/tracking/"), ("optuna", "benchmark/tuning/")])
def test_one_room_imports_it(library: str, room: str) -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for package in ("backbones", "fusion_methods", "benchmark")
        for path in (ROOT / package).rglob("*.py")
        if any(f"{word} {library}" in path.read_text(encoding="utf-8") for word in ("import", "from"))
    }
    assert {user for user in users if user.startswith(room)} == users != set()
