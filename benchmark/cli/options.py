"""Options that several commands take, and what they stand for."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.config import DATASETS, UserError, load_config, parse_assignment, profile_names

if TYPE_CHECKING:
    from benchmark.reporting.tables import Table

LAYOUTS = ("synthetic", "auto", "folders", "csv")  # of no data set in particular


def experiment_folders(results_dir: Path = Path("results")) -> dict[str, Path]:
    """Return the experiments of a results folder by name; published ones lie a folder deeper."""
    files = sorted([*results_dir.glob("*/experiment.json"), *results_dir.glob("*/*/experiment.json")])
    return {file.parent.relative_to(results_dir).as_posix(): file.parent for file in files}


def _completed(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Return what a shell's completion asks for the names that begin as typed."""
    return lambda incomplete: [name for name in names() if name.startswith(incomplete)]


Profile = Annotated[
    str,
    typer.Option(
        help=f"{', '.join(profile_names())}, or the path of a YAML file.", autocompletion=_completed(profile_names)
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        help="See `ferfuse list datasets`; auto finds out; the profile's own.",
        autocompletion=_completed(lambda: DATASETS),
    ),
]
DataRoot = Annotated[Path | None, typer.Option(help="Folder or zip of the data set, for example RAF-DB's 'basic'.")]
Accept = Annotated[list[str] | None, typer.Option(help="Findings of `ferfuse data check` that stop nothing.")]
Experiment = Annotated[
    str | None,
    typer.Option(
        help="Name in the results folder; profile[-data] when left out.", autocompletion=_completed(experiment_folders)
    ),
]
ResultsDir = Annotated[Path, typer.Option(help="Where ledgers are kept.")]
ReportsDir = Annotated[Path, typer.Option(help="Where reports are written.")]
DataDir = Annotated[Path, typer.Option(help="Where decoded images and synthetic faces are kept.")]
Seeds = Annotated[int | None, typer.Option(help="Number of seeds.")]
Backbones = Annotated[list[str] | None, typer.Option(help="Backbones, separated by blanks.")]
Methods = Annotated[list[str] | None, typer.Option(help="Fusion methods with settings, separated by blanks.")]
Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", help="Python files that register methods or backbones.")
]
Questions = Annotated[list[str] | None, typer.Option("--question", help="Methods that the report is about.")]
Against = Annotated[list[str] | None, typer.Option(help="Their baselines; the run's built-in methods when left out.")]
Assignments = Annotated[list[str] | None, typer.Option("--set", help="Any setting of the profile, as name=value.")]
Arms = Annotated[list[str] | None, typer.Option(help="Further sets of runs of the profile: readings, controls.")]
TableFormat = Annotated[str | None, typer.Option("--format", help="markdown, latex, csv or json.")]
ColumnList = Annotated[str | None, typer.Option("--columns", help="Their keys, separated by commas.")]
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


def asked_questions(question: list[str] | None, against: list[str] | None) -> dict[str, Any]:
    """Return the setting that `--question` and `--against` stand for: the same baselines for every method."""
    if against and not question:
        raise UserError("--against names baselines of a question; name its method by --question METHOD")
    return {"questions": [{"method": method, "against": against or []} for method in question]} if question else {}


def experiment_name(profile: str, dataset: str | None, data_root: Path | None = None) -> str:
    """Return the name that an experiment has when the user gives none: that of its profile, and of other data.

    A public data set gives its own name, a user's own images, whose layout has no other, that of their folder.
    """
    stem = Path(profile).stem if profile.endswith((".yaml", ".yml")) else profile
    if data_root is None or dataset not in (None, *LAYOUTS):
        return f"{stem}-{dataset}" if dataset else stem
    if dataset is None and load_config(profile).data.dataset not in LAYOUTS:
        return stem
    folder = data_root.resolve()
    return f"{stem}-{re.sub('[^A-Za-z0-9_.-]+', '-', folder.stem if folder.suffix == '.zip' else folder.name)}"


def columns(rows: list[dict[str, Any]]) -> str:
    """Write rows of equal keys as aligned columns."""
    from tabulate import tabulate

    return tabulate(rows, headers="keys", tablefmt="simple", floatfmt=".2f")


def chosen(table: Table, column_list: str | None) -> Table:
    """Return a table with the columns that `--columns` names, all of them where it is not given."""
    return table if column_list is None else table.choose([key.strip() for key in column_list.split(",")])


def show_table(table: Table, table_format: str | None = None) -> None:
    """Print a table in a format; without one, as the terminal has room for it, as Markdown where there is none."""
    if table_format is None and sys.stdout.isatty():
        from rich.console import Console

        from benchmark.reporting.terminal import print_table

        print_table(table, Console(highlight=False))
        return
    from benchmark.reporting.formats import render

    typer.echo(render(table, table_format or "markdown"), nl=False)
