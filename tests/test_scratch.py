"""Half-made files of dead processes go, those of living ones stay; commands that share a folder share it in peace."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark.config import UserError
from benchmark.ledger import experiment_folder
from benchmark.scratch import clear, half_made, half_made_folder

COMMAND = [sys.executable, "-c", "from benchmark.cli import main; main()"]


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_what_dead_processes_left_is_removed_and_the_rest_stays(tmp_path: Path, dead: int) -> None:
    target = tmp_path / "set [1]"
    old_file, old_folder = tmp_path / f"set [1].{dead}.half-tmp", tmp_path / f"set [1].{dead}.half-ab"
    mine, other = tmp_path / f"set [1].{os.getpid()}.half-tmp", tmp_path / f"other.{dead}.half-tmp"
    old_folder.mkdir()
    for path in (old_file, old_folder / "content", mine, other):
        path.write_text("x")
    clear(target)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([mine.name, other.name])


def test_names_are_those_of_this_process(tmp_path: Path) -> None:
    assert half_made(tmp_path / "a.json").name == f"a.json.{os.getpid()}.half-tmp"
    with half_made_folder(tmp_path / "a") as folder:
        assert folder.is_dir()
        assert folder.parent == tmp_path
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", " ", "..", "a/../b", "/tmp/x", "a//b", "a\nb", "a\\b", 'a"b', "x" * 121, "a/"])
def test_names_that_lead_astray_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="is no name for an experiment") as fault:
        experiment_folder(tmp_path, name)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize("name", ["demo", "reference/open-faces", "mit Umlaut ä", "100 % [x]", "<script>", "=1+1"])
def test_other_names_are_taken_as_they_are(tmp_path: Path, name: str) -> None:
    if any(letter in name for letter in "<>"):
        with pytest.raises(UserError):
            experiment_folder(tmp_path, name)
    else:
        assert experiment_folder(tmp_path, name) == tmp_path / name


def test_two_that_draw_into_one_folder_share_it(tmp_path: Path) -> None:
    words = [*COMMAND, "data", "synthesize", str(tmp_path / "faces"), "--train", "42", "--test", "14"]
    pair = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    said = [process.communicate()[0] for process in pair]
    assert sorted(process.returncode for process in pair) == [0, 2], said
    assert not any("Traceback" in text for text in said)
    assert any("already exists" in text for text in said)


@pytest.mark.parametrize(
    "delay", [0.4, pytest.param(0.8, marks=pytest.mark.slow), pytest.param(1.2, marks=pytest.mark.slow)]
)
def test_a_killed_drawing_leaves_nothing_behind_after_the_next(tmp_path: Path, delay: float) -> None:
    words = [*COMMAND, "data", "synthesize", str(tmp_path / "faces"), "--train", "700", "--test", "70"]
    killed = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(delay)
    killed.kill()
    killed.wait()
    done = subprocess.run([*words[:-4], "--train", "42", "--test", "14"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"faces"}


def test_two_reports_of_one_ledger_at_once(tmp_path: Path) -> None:
    ledger = Path(__file__).parent / "golden" / "ledger"
    words = [*COMMAND, "report", "--ledger", str(ledger), "--reports-dir", str(tmp_path)]
    pair = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    said = [process.communicate()[0] for process in pair]
    assert [process.returncode for process in pair] == [0, 0], said
    assert not [path for path in tmp_path.rglob("*") if ".half-" in path.name]
