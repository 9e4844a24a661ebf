"""The examples run as they are printed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TINY = [
    "--backbones", "resnet18", "small-cnn", "--seeds", "1", "--workers", "1", "--no-track", "--experiment", "tiny",
    "--set",
    "data.synthetic.train=84", "data.synthetic.test=35", "backbone_stage.epochs=1", "fusion_stage.epochs=1",
    "data.image_size=16",
]  # fmt: skip


def test_a_method_and_a_backbone_of_ones_own(tmp_path: Path) -> None:
    plugins = [str(ROOT / "examples" / name) for name in ("own_method.py", "own_backbone.py")]
    words = ["reproduce", "--methods", "late", "gated-sum", "--plugin", *plugins, *TINY]
    command = [sys.executable, "-c", "from benchmark.cli import main; main()", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "Gated sum" in done.stdout
    assert "Small CNN" in done.stdout
