"""Measure speed, and whether it costs accuracy: `python -m tools.bench speed`, `python -m tools.bench parity`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.cli.application import application, main
from benchmark.cli.options import Assignments, DataDir, DataRoot, Dataset, Profile, settings_of

SMALL = {"data.synthetic.train": 200, "data.synthetic.test": 100, "seeds": 4, "backbones": ["resnet18", "vgg11"]}
app = application("bench", "Measure speed, and whether it costs accuracy.")
COMPILED = ("resnet18", "vgg11")  # compiling a network takes about a minute


@app.command()
def speed(
    backbones: Annotated[list[str] | None, typer.Option(help="Backbones, separated by blanks.")] = None,
    assignments: Assignments = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    workers: Annotated[int, typer.Option(help="Processes side by side on a CPU; 0 chooses.")] = 0,
    repeats: Annotated[int, typer.Option(min=1, help="Turns of each figure; the median counts.")] = 3,
    compiled: Annotated[
        list[str] | None, typer.Option(help="On a GPU: networks, and pairs as a+b, whose steps are compiled too.")
    ] = None,
    side_by_side: Annotated[int, typer.Option(min=1, help="On a GPU: up to how many processes share it.")] = 2,
    data_dir: DataDir = Path("data"),
    out: Annotated[Path, typer.Option(help="Where the table and its raw numbers are written.")] = Path("results/bench"),
) -> None:
    """Measure speed: on a CPU against the plain way of the same work, on a GPU as a share of its peak.

    On a GPU the training steps of the paper's profile are measured and its hours are extrapolated. Each part is
    written as soon as it is measured.

    Example: python -m tools.bench speed --device cuda --compiled resnet18 resnet18+resnet34
    """
    from benchmark.engine.devices import choose_device
    from tools.bench.gpu import GpuPlan, measure_gpu
    from tools.bench.gpu_report import gpu_page
    from tools.bench.measure import measure, setup_of
    from tools.bench.report import cpu_page, write

    device = choose_device(device)
    page: Callable[[dict[str, Any]], str]
    with tempfile.TemporaryDirectory() as folder:
        if device.startswith("cuda"):
            drawn = {"weights": "none", "data.dataset": "synthetic", "backbones": backbones}
            settings = settings_of("paper", drawn, assignments)
            plan = GpuPlan(settings, device, compiled or COMPILED, repeats, side_by_side=range(1, side_by_side + 1))
            measuring = measure_gpu(plan, Path(folder))
            page = partial(gpu_page, settings=settings)
        else:
            settings = settings_of("demo", {**SMALL, "backbones": backbones or SMALL["backbones"]}, assignments)
            setup = setup_of(settings, Path(folder), data_dir, device=device, workers=workers)
            measuring, page = measure(setup, repeats), cpu_page
        for part, found in enumerate(measuring, start=1):
            path = write(found, page(found), out)
            typer.echo(f"part {part} is written to {path}", err=True)
    typer.echo(page(found), nl=False)


@app.command()
def parity(
    backbone: Annotated[str, typer.Option(help="The backbone that is trained both ways.")] = "resnet18",
    profile: Profile = "demo",
    dataset: Dataset = None,
    data_root: DataRoot = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = 5,
    assignments: Assignments = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    workers: Annotated[int, typer.Option(help="Processes side by side; 0 chooses.")] = 0,
    data_dir: DataDir = Path("data"),
) -> None:
    """Train a backbone by the fast path and by the plain one, and compare their accuracies seed by seed.

    Example: python -m tools.bench parity --dataset raf-db --data-root /data/RAF-DB/basic --seeds 8
    """
    from tools.bench.measure import setup_of
    from tools.bench.parity import as_text
    from tools.bench.parity import parity as compare_paths

    data = {"data.dataset": dataset, "data.root": data_root}
    settings = settings_of(profile, {**data, "methods": [], "seeds": seeds, "backbones": [backbone]}, assignments)
    with tempfile.TemporaryDirectory() as folder:
        setup = setup_of(settings, Path(folder), data_dir, device=device, workers=workers)
        found = compare_paths(setup, backbone)
    typer.echo(as_text(found, setup.workspace.manifest.title))


if __name__ == "__main__":  # the bench's own processes import this file too
    main(app)
