"""Options that several commands take, and what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.config import parse_assignment

Profile = Annotated[str, typer.Option(help="demo, paper, or the path of a YAML file.")]
Dataset = Annotated[str | None, typer.Option(help="synthetic or raf-db; the profile's own when left out.")]
DataRoot = Annotated[Path | None, typer.Option(help="Folder of the data set, for example RAF-DB's 'basic'.")]
Experiment = Annotated[str | None, typer.Option(help="Name in the results folder; profile[-dataset] when left out.")]
ResultsDir = Annotated[Path, typer.Option(help="Where ledgers are kept.")]
ReportsDir = Annotated[Path, typer.Option(help="Where reports are written.")]
DataDir = Annotated[Path, typer.Option(help="Where decoded images and synthetic faces are kept.")]
Seeds = Annotated[int | None, typer.Option(help="Number of seeds.")]
Backbones = Annotated[list[str] | None, typer.Option(help="Backbones, separated by blanks.")]
Methods = Annotated[list[str] | None, typer.Option(help="Fusion methods with settings, separated by blanks.")]
Plugins = Annotated[list[Path] | None, typer.Option("--plugin", help="Python files that register fusion methods.")]
Assignments = Annotated[list[str] | None, typer.Option("--set", help="Any setting of the profile, as name=value.")]
Arms = Annotated[list[str] | None, typer.Option(help="Further sets of runs of the profile: readings, controls.")]
Margin = Annotated[float, typer.Option(min=0.01, help="Largest difference, in percentage points, that counts as none.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def overrides(
    dataset: str | None,
    data_root: Path | None,
    seeds: int | None,
    backbones: list[str] | None,
    methods: list[str] | None,
    assignments: list[str] | None,
    arms: list[str] | None,
) -> dict[str, Any]:
    """Return the settings that options stand for; --set comes last and wins."""
    given: dict[str, Any] = {
        "data.dataset": dataset,
        "data.root": data_root,
        "seeds": seeds,
        "backbones": backbones,
        "methods": methods,
        "with_arms": arms,
    }
    found = {name: value for name, value in given.items() if value is not None}
    if backbones:
        found["groups"] = "pairs"
    return {**found, **dict(parse_assignment(text) for text in assignments or ())}


def experiment_name(profile: str, dataset: str | None) -> str:
    """Return the name that an experiment has when the user gives none."""
    stem = Path(profile).stem if profile.endswith((".yaml", ".yml")) else profile
    return f"{stem}-{dataset}" if dataset else stem


def columns(rows: list[dict[str, Any]]) -> str:
    """Write rows of equal keys as aligned columns."""
    from tabulate import tabulate

    return tabulate(rows, headers="keys", tablefmt="simple", floatfmt=".2f")
