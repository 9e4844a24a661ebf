"""What is typed after `make` reaches ferfuse as it was typed, or is refused by name."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def make(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "--no-print-directory", "-n", *words], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([r"SET=data.group_pattern=(S\d+)_"], ["--set", r"data.group_pattern=(S\d+)_"]),
        (["SET=seeds=2 data.image_size=16"], ["--set", "seeds=2", "--set", "data.image_size=16"]),
        (["SET=backbones=[resnet18,vgg11]"], ["--set", "backbones=[resnet18,vgg11]"]),
        (["DATA_ROOT=/my data/it's (1)"], ["--data-root", "/my data/it's (1)"]),
        (["METHODS=late attention-fusion:axis=batch"], ["--methods", "late", "attention-fusion:axis=batch"]),
        (["EXPERIMENT=a b", "ARMS=readings controls"], ["--experiment", "a b", "--arms", "readings", "controls"]),
    ],
)
def test_variables_reach_ferfuse_as_they_are(words: list[str], expected: list[str]) -> None:
    done = make("reproduce", *words)
    assert done.returncode == 0, done.stderr
    typed = shlex.split(done.stdout.splitlines()[-1])
    joined = "\0".join(typed)
    assert "\0".join(expected) in joined


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("SEED=2", "did you mean SEEDS?"),
        ("METHOD=early", "did you mean METHODS?"),
        ("dataset=x", "did you mean DATASET?"),
        ("QX=1", "known: "),
    ],
)
def test_a_misspelt_variable_stops(word: str, hint: str) -> None:
    done = make("reproduce", word)
    assert done.returncode == 2
    assert f"unknown variable {word.partition('=')[0]}" in done.stderr
    assert hint in done.stderr


def test_clean_spares_results_and_imported_data() -> None:
    assert "results" not in make("clean").stdout
    assert "rm -rf data/store data/unpacked data/synthetic \n" in make("clean").stdout
    assert "results" in make("clean", "ALL=1").stdout
