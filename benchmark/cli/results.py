"""Commands that read a ledger: table, compare, report, power, audit, transfer."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.application import app
from benchmark.cli.options import (
    AsJson,
    Assignments,
    ColumnList,
    DataDir,
    Device,
    Experiment,
    Methods,
    Plugins,
    Profile,
    ReportsDir,
    ResultsDir,
    TableFormat,
    Which,
    WhichLedger,
    chosen,
    columns,
    settings_of,
    show_table,
)
from benchmark.ledger import again, experiment_folder, load_ledger, write_json


@app.command()
def table(
    number: Annotated[
        int,
        typer.Argument(
            help="1 backbones, 2 fusion methods, 3 readings, 4 controls, 5 selection, 6 ensembles, 7 transfer."
        ),
    ],
    which: Which,
    table_format: TableFormat = None,
    column_list: ColumnList = None,
    layout: Annotated[
        str | None, typer.Option(help="Of Table 2: pairs, with a column for each, or long, a line for each.")
    ] = None,
    reports_dir: ReportsDir = Path("reports"),
) -> None:
    """Print a table from the ledger: as the terminal has room for it, as Markdown where the output is no terminal.

    Table 1 and the long Table 2 have the columns accuracy, interval, n, paper, verdict, parameters, macs and
    milliseconds. CSV, JSON and --columns are about the long one; CSV and JSON hold the unrounded numbers. Verdicts are
    those of the report, where it is of this very ledger.

    Example: ferfuse table 2 --experiment demo --columns accuracy,n,milliseconds --format latex
    """
    from benchmark.reporting.report import MACHINES, current_verdicts, make_table

    ledger = load_ledger(which.folder)
    usual = "long" if column_list or table_format in MACHINES else "pairs"
    made = make_table(number, ledger, current_verdicts(ledger, reports_dir), layout or usual)
    show_table(chosen(made, column_list), table_format)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="A: an experiment's name, or the folder of a ledger.")],
    second: Annotated[str, typer.Argument(help="B: likewise.")],
    table_format: TableFormat = None,
    column_list: ColumnList = None,
    results_dir: ResultsDir = Path("results"),
) -> None:
    """Print two ledgers side by side (two machines, versions, settings or data sets): which cells differ beyond noise.

    Cells are paired by seed where data and seeds are the same, and compared by Welch's test otherwise.

    Example: ferfuse compare demo results/reference --format csv
    """
    from benchmark.reporting.side_by_side import compare_ledgers

    ledgers = [load_ledger(_ledger_folder(text, results_dir)) for text in (first, second)]
    show_table(chosen(compare_ledgers(*ledgers), column_list), table_format)


def _ledger_folder(text: str, results_dir: Path) -> Path:
    """Return the folder that holds an experiment, where the text is one, and else the experiment of that name."""
    return Path(text) if (Path(text) / "experiment.json").is_file() else experiment_folder(results_dir, text)


@app.command()
def report(
    which: WhichLedger,
    reports_dir: ReportsDir = Path("reports"),
    beside: Annotated[
        Path | None, typer.Option(help="CSV of numbers that others printed, for Table 2: method, accuracy, source.")
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Set all of it as report.pdf too; needs pdflatex.")] = False,
) -> None:
    """Write all tables of an experiment (Markdown, LaTeX, CSV, JSON), every verdict, the figures, and the page.

    Example: ferfuse report --experiment demo --pdf
    """
    from benchmark.reporting.beside import read_beside
    from benchmark.reporting.page.write import write_page
    from benchmark.reporting.report import refresh_verdicts, write_document, write_report

    loaded = load_ledger(which.folder)
    for path in [
        *write_report(loaded, reports_dir, read_beside(beside) if beside else ()),
        *write_page(loaded, reports_dir),
    ]:
        typer.echo(f"wrote {path}")
    typer.echo(refresh_verdicts(loaded, reports_dir))
    if pdf:
        typer.echo(f"wrote {write_document(loaded, reports_dir)}")


@app.command()
def power(
    which: Which,
    as_json: AsJson = False,
) -> None:
    """Tell which difference each comparison could have shown by now, and what would bring a verdict on the open ones.

    Example: ferfuse power --experiment demo
    """
    from benchmark.reporting.pages import look_rows, look_sentence, power_rows
    from benchmark.reporting.significance import make_significance

    ledger = load_ledger(which.folder)
    found = make_significance(ledger)
    rows, chances = power_rows(found), look_rows(found)
    if as_json:
        typer.echo(json.dumps({"comparisons": rows, "looks": chances}, indent=1))
        return
    typer.echo(f"{columns(rows)}\n\n{look_sentence(found)}\n\n{columns(chances)}")


@app.command()
def audit(
    which: Which,
    methods: Methods = None,
    plugin: Plugins = None,
    device: Device = "auto",
    reports_dir: ReportsDir = Path("reports"),
    data_dir: DataDir = Path("data"),
    as_json: AsJson = False,
    determinism: Annotated[bool, typer.Option("--determinism", help="Repeat a sample of runs instead.")] = False,
    runs: Annotated[int, typer.Option(min=1, help="How many runs --determinism repeats.")] = 5,
    deterministic: Annotated[bool, typer.Option("--deterministic", help="Repeat as reproduce does with it.")] = False,
) -> None:
    """Tell for every fusion method whether its predictions change with the order and grouping of the test images.

    With --determinism, do a sample of finished runs again and compare their predictions; status 1 if one is different
    by more than the device's own nondeterminism.

    Example: ferfuse audit --experiment demo --methods attention-fusion attention-fusion:axis=batch
    """
    from benchmark.audit.batch_dependence import audit_experiment, write_findings
    from benchmark.audit.summary import summarise
    from benchmark.engine.experiment import finished_request, finished_runs
    from benchmark.reporting.report import refresh_verdicts, write_tables

    request = finished_request(which.results_dir, which.name, data_dir, device, tuple(plugin or ()))
    finished, workspace = finished_runs(request)
    if determinism:
        from benchmark.audit.determinism import DIFFERENT, repeat_sample
        from benchmark.engine.work import prepare_process

        prepare_process(workspace.device, deterministic, request.plugins)
        repetitions = [asdict(repeated) for repeated in repeat_sample(finished, runs, workspace)]
        write_json(request.folder / "repetitions.json", {"repetitions": repetitions})
        typer.echo(json.dumps(repetitions, indent=1) if as_json else columns(repetitions))
        raise typer.Exit(int(any(repeated["verdict"] == DIFFERENT for repeated in repetitions)))
    findings = audit_experiment(finished, methods, workspace)
    write_findings(request.folder, findings)
    ledger = load_ledger(request.folder)
    audited = {run.method for run in finished}
    if missing := [method for method in ledger.experiment["main"]["methods"] if method not in audited]:
        way = again(ledger.experiment)
        typer.echo(f"not audited: {', '.join(missing)}; `{way}` has to finish runs of them first", err=True)
    refresh_verdicts(ledger, reports_dir)
    write_tables(ledger, reports_dir)
    rows = summarise(findings)
    typer.echo(json.dumps(rows, indent=1) if as_json else columns(rows))


@app.command()
def transfer(
    dataset: Annotated[str, typer.Option(help="The other data set: see `ferfuse list datasets`; auto finds out.")],
    data_root: Annotated[Path, typer.Option(help="Its folder or zip.")],
    profile: Profile = "demo",
    experiment: Experiment = None,
    methods: Methods = None,
    plugin: Plugins = None,
    assignments: Assignments = None,
    device: Device = "auto",
    results_dir: ResultsDir = Path("results"),
    reports_dir: ReportsDir = Path("reports"),
    data_dir: DataDir = Path("data"),
    as_json: AsJson = False,
) -> None:
    """Tell how an experiment's trained networks and methods do on the test faces of another data set (Table 7).

    Nothing is trained there. Classes that only one of the two has are left out.

    Example: ferfuse transfer --experiment demo --dataset ferplus --data-root /data/FERPlus
    """
    from benchmark.audit.transfer import open_faces, summarise_transfers, transfer_experiment, write_transfers
    from benchmark.data.sources import find_dataset
    from benchmark.engine.devices import choose_device
    from benchmark.plugins import load_plugins, remembered_plugins
    from benchmark.reporting.report import write_tables

    ledger = load_ledger(Which(profile=profile, experiment=experiment, results_dir=results_dir).folder)
    plugins = remembered_plugins(ledger.experiment, ledger.experiment.get("plugins", {}), plugin or ())
    load_plugins(plugins)
    settings = settings_of(profile, {"data.dataset": dataset, "data.root": data_root}, assignments)
    faces = open_faces(ledger, find_dataset(settings.data, data_dir), data_dir)
    found = transfer_experiment(ledger, methods, plugins, faces, choose_device(device))
    write_transfers(ledger.root, found)
    write_tables(load_ledger(ledger.root), reports_dir)
    rows = summarise_transfers(found)
    typer.echo(json.dumps(rows, indent=1) if as_json else columns(rows))
