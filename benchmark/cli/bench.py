"""Commands that measure speed, and whether it costs accuracy."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.application import app
from benchmark.cli.options import (
    AsJson,
    Assignments,
    Backbones,
    DataDir,
    DataRoot,
    Dataset,
    Profile,
    ResultsDir,
    Seeds,
    overrides,
)
from benchmark.config import load_config

SMALL = {"data.synthetic.train": 200, "data.synthetic.test": 100, "seeds": 5}


@app.command()
def bench(
    profile: Profile = "demo",
    backbones: Backbones = None,
    assignments: Assignments = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    workers: Annotated[int, typer.Option(help="Processes side by side; 0 chooses.")] = 0,
    repeats: Annotated[int, typer.Option(min=1, help="Turns of each side; the median counts.")] = 5,
    results_dir: ResultsDir = Path("results"),
    data_dir: DataDir = Path("data"),
    as_json: AsJson = False,
) -> None:
    """Measure how fast the suite is against the plain way of doing the same work, side by side, on drawn faces.

    Example: ferfuse bench --backbones resnet18 vgg11 --repeats 3
    """
    from benchmark.bench.measure import measure, setup_of
    from benchmark.bench.report import as_text, write

    asked = {**SMALL, **overrides(None, None, None, backbones, None, assignments, None)}
    settings = load_config(profile, {"data.dataset": "synthetic", **asked})
    with tempfile.TemporaryDirectory() as folder:
        found = measure(setup_of(settings, Path(folder), data_dir, device=device, workers=workers), repeats)
    path = write(found, results_dir / "bench")
    typer.echo(json.dumps(found, indent=1) if as_json else f"{as_text(found)}\nwrote {path}")


@app.command()
def parity(
    backbone: Annotated[str, typer.Option(help="The backbone that is trained both ways.")] = "resnet18",
    profile: Profile = "demo",
    dataset: Dataset = None,
    data_root: DataRoot = None,
    seeds: Seeds = 5,
    assignments: Assignments = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    workers: Annotated[int, typer.Option(help="Processes side by side; 0 chooses.")] = 0,
    data_dir: DataDir = Path("data"),
) -> None:
    """Train a backbone by the fast path and by the plain one, and compare their accuracies seed by seed.

    Example: ferfuse parity --dataset raf-db --data-root /data/RAF-DB/basic --seeds 8
    """
    from benchmark.bench.measure import setup_of
    from benchmark.bench.parity import as_text
    from benchmark.bench.parity import parity as compare_paths

    asked = overrides(dataset, data_root, seeds, [backbone], None, assignments, None)
    settings = load_config(profile, {"methods": [], "groups": "pairs", **asked})
    with tempfile.TemporaryDirectory() as folder:
        setup = setup_of(settings, Path(folder), data_dir, device=device, workers=workers)
        found = compare_paths(setup, backbone)
    typer.echo(as_text(found, setup.workspace.manifest.title))
