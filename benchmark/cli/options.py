"""Options that several commands take, and what they stand for."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from benchmark.config import DATASETS, Settings, UserError, load_config, profile_names
from benchmark.ledger import experiment_folder

if TYPE_CHECKING:
    from benchmark.engine.outcomes import Request
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
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Methods = Annotated[list[str] | None, typer.Option(help="Fusion methods with settings, separated by blanks.")]
Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", help="Python files that register methods or backbones.")
]
Assignments = Annotated[list[str] | None, typer.Option("--set", help="Any setting of the profile, as name=value.")]
TableFormat = Annotated[str | None, typer.Option("--format", help="markdown, latex, csv or json.")]
ColumnList = Annotated[str | None, typer.Option("--columns", help="Their keys, separated by commas.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split `dotted.name=value`; the value is read as YAML, so numbers, lists and booleans keep their type."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise UserError(f"--set {text}: write it as name=value, for example backbone_stage.epochs=3")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UserError(f"--set {text}: the value is not valid YAML") from error


def settings_of(profile: str, given: Mapping[str, Any], assignments: Iterable[str] | None) -> Settings:
    """Return a profile with what is given and not None: backbones are fused in all pairs; --set wins over it."""
    found = {name: value for name, value in given.items() if value is not None}
    if found.get("backbones"):
        found = {"groups": "pairs", **found}
    return load_config(profile, {**found, **dict(parse_assignment(text) for text in assignments or ())})


@dataclass(frozen=True, kw_only=True)
class Which:
    """The experiment that a command is about."""

    profile: Profile = "demo"
    dataset: Dataset = None
    data_root: DataRoot = None
    experiment: Experiment = None
    results_dir: ResultsDir = Path("results")

    @property
    def name(self) -> str:
        """Its name."""
        return self.experiment or experiment_name(self.profile, self.dataset, self.data_root)

    @property
    def folder(self) -> Path:
        """The folder of its ledger."""
        return experiment_folder(self.results_dir, self.name)

    def settings(self, assignments: list[str] | None, **given: Any) -> Settings:
        """Return the profile with the data and settings given; --set comes last and wins."""
        data = {"data.dataset": self.dataset, "data.root": self.data_root}
        return settings_of(self.profile, {**data, **given}, assignments)


@dataclass(frozen=True, kw_only=True)
class WhichLedger(Which):
    """An experiment, or the folder of a ledger wherever it lies."""

    ledger: Annotated[Path | None, typer.Option(help="Folder of a ledger, instead of an experiment's name.")] = None

    @property
    def folder(self) -> Path:
        """The folder of the ledger."""
        return self.ledger or super().folder


@dataclass(frozen=True, kw_only=True)
class Asked(Which):
    """What of an experiment is run."""

    seeds: Annotated[int | None, typer.Option(help="Number of seeds.")] = None
    backbones: Annotated[list[str] | None, typer.Option(help="Backbones, separated by blanks.")] = None
    methods: Methods = None
    plugin: Plugins = None
    question: Annotated[list[str] | None, typer.Option("--question", help="Methods that the report is about.")] = None
    against: Annotated[
        list[str] | None, typer.Option(help="Their baselines; the run's built-in methods when left out.")
    ] = None
    assignments: Assignments = None
    arms: Annotated[list[str] | None, typer.Option(help="Further sets of runs of the profile: readings, controls.")] = (
        None
    )
    accept: Accept = None
    data_dir: DataDir = Path("data")

    def request(self, **how: Any) -> Request:
        """Return the request for the engine; `--question` and `--against` set the same baselines for every method.

        Raises:
            UserError: baselines without a question.
        """
        from benchmark.engine.outcomes import Request

        if self.against and not self.question:
            raise UserError("--against names baselines of a question; name its method by --question METHOD")
        settings = self.settings(
            self.assignments,
            seeds=self.seeds,
            backbones=self.backbones,
            methods=self.methods,
            with_arms=self.arms,
            questions=[{"method": method, "against": self.against or []} for method in self.question or ()] or None,
            **{"data.accept": self.accept or None},
        )
        return Request(settings, self.name, self.results_dir, self.data_dir, plugins=tuple(self.plugin or ()), **how)


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
