"""Commands that read a ledger: table, report, power, audit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.application import app
from benchmark.cli.options import (
    AsJson,
    DataDir,
    Dataset,
    Experiment,
    Margin,
    Methods,
    Plugins,
    Profile,
    ReportsDir,
    ResultsDir,
    columns,
    experiment_name,
)
from benchmark.ledger import experiment_folder, load_ledger


@app.command()
def table(
    number: Annotated[int, typer.Argument(help="1 backbones, 2 fusion methods, 3 readings, 4 controls, 5 selection.")],
    profile: Profile = "demo",
    dataset: Dataset = None,
    experiment: Experiment = None,
    table_format: Annotated[str, typer.Option("--format", help="markdown or latex.")] = "markdown",
    results_dir: ResultsDir = Path("results"),
) -> None:
    """Print a table from the ledger to standard output.

    Example: ferfuse table 2 --experiment demo --format latex
    """
    from benchmark.reporting.formats import render
    from benchmark.reporting.report import make_table

    folder = experiment_folder(results_dir, experiment or experiment_name(profile, dataset))
    typer.echo(render(make_table(number, load_ledger(folder)), table_format), nl=False)


@app.command()
def report(
    profile: Profile = "demo",
    dataset: Dataset = None,
    experiment: Experiment = None,
    ledger: Annotated[Path | None, typer.Option(help="Folder of a ledger, instead of an experiment's name.")] = None,
    results_dir: ResultsDir = Path("results"),
    reports_dir: ReportsDir = Path("reports"),
    margin: Margin = 0.5,
) -> None:
    """Write all tables of an experiment, as Markdown and LaTeX, and the verdict on every comparison and claim.

    Example: ferfuse report --experiment demo
    """
    from benchmark.reporting.report import refresh_verdicts, write_report

    folder = ledger or experiment_folder(results_dir, experiment or experiment_name(profile, dataset))
    loaded = load_ledger(folder)
    for path in write_report(loaded, reports_dir, margin):
        typer.echo(f"wrote {path}")
    typer.echo(refresh_verdicts(loaded, reports_dir))


@app.command()
def power(
    profile: Profile = "demo",
    dataset: Dataset = None,
    experiment: Experiment = None,
    results_dir: ResultsDir = Path("results"),
    margin: Margin = 0.5,
    as_json: AsJson = False,
) -> None:
    """Tell which difference each comparison could have shown by now, and how many more seeds the open ones need.

    Example: ferfuse power --experiment demo
    """
    from benchmark.reporting.comparisons import Protocol
    from benchmark.reporting.pages import power_rows
    from benchmark.reporting.significance import make_significance

    ledger = load_ledger(experiment_folder(results_dir, experiment or experiment_name(profile, dataset)))
    found = make_significance(ledger, Protocol(margin=margin))
    rows = power_rows(found)
    typer.echo(json.dumps(rows, indent=1) if as_json else columns(rows))


@app.command()
def audit(
    profile: Profile = "demo",
    dataset: Dataset = None,
    experiment: Experiment = None,
    methods: Methods = None,
    plugin: Plugins = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    results_dir: ResultsDir = Path("results"),
    reports_dir: ReportsDir = Path("reports"),
    data_dir: DataDir = Path("data"),
    as_json: AsJson = False,
) -> None:
    """Tell for every fusion method whether its predictions change with the order and grouping of the test images.

    Example: ferfuse audit --experiment demo --methods attention-fusion attention-fusion:axis=batch
    """
    from benchmark.audit.batch_dependence import audit_experiment, write_findings
    from benchmark.audit.summary import summarise
    from benchmark.engine.experiment import finished_request, finished_runs
    from benchmark.reporting.report import refresh_verdicts, write_tables

    name = experiment or experiment_name(profile, dataset)
    request = finished_request(results_dir, name, data_dir, device, tuple(plugin or ()))
    runs, workspace = finished_runs(request)
    findings = audit_experiment(runs, methods, workspace)
    write_findings(request.folder, findings)
    ledger = load_ledger(request.folder)
    refresh_verdicts(ledger, reports_dir)
    write_tables(ledger, reports_dir)
    rows = summarise(findings)
    typer.echo(json.dumps(rows, indent=1) if as_json else columns(rows))
