"""Commands that run experiments: reproduce, plan, status."""

from __future__ import annotations

import json
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.cli.application import app
from benchmark.cli.options import (
    Arms,
    AsJson,
    Assignments,
    Backbones,
    DataDir,
    DataRoot,
    Dataset,
    Experiment,
    Methods,
    Plugins,
    Profile,
    ReportsDir,
    ResultsDir,
    Seeds,
    experiment_name,
    overrides,
    show_table,
)
from benchmark.config import UserError, load_config
from benchmark.ledger import experiment_folder, load_ledger
from benchmark.tuned import read_searches, read_tuned, select


@app.command()
def reproduce(
    profile: Profile = "demo",
    dataset: Dataset = None,
    data_root: DataRoot = None,
    experiment: Experiment = None,
    seeds: Seeds = None,
    backbones: Backbones = None,
    methods: Methods = None,
    plugin: Plugins = None,
    assignments: Assignments = None,
    arms: Arms = None,
    tuned: Annotated[
        bool, typer.Option("--tuned", help="Use what `ferfuse tune` chose; in an own experiment.")
    ] = False,
    engine: Annotated[str, typer.Option(help="local; ray is not part of this version.")] = "local",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    workers: Annotated[int, typer.Option(help="Processes side by side; 0 chooses.")] = 0,
    track: Annotated[bool, typer.Option(help="Mirror the runs into MLflow.")] = True,
    system_metrics: Annotated[bool, typer.Option(help="Log the machine's load into MLflow; needs psutil.")] = False,
    results_dir: ResultsDir = Path("results"),
    reports_dir: ReportsDir = Path("reports"),
    data_dir: DataDir = Path("data"),
) -> None:
    """Run whatever is not finished yet, then print Tables 1 and 2.

    Example: ferfuse reproduce --profile demo --seeds 5 --methods late attention-fusion:axis=batch
    """
    from benchmark.engine.experiment import Request, run_experiment
    from benchmark.engine.progress import TerminalProgress
    from benchmark.tracking.live import LiveMirror, MirrorOptions

    if engine != "local":
        known = "ray is not part of this version; use local" if engine == "ray" else "use local"
        raise UserError(f"--engine {engine}: {known}")
    if system_metrics and find_spec("psutil") is None:
        raise UserError("--system-metrics needs psutil; install it: pip install 'ferfuse[system-metrics]'")
    settings = load_config(profile, overrides(dataset, data_root, seeds, backbones, methods, assignments, arms))
    name = experiment or experiment_name(profile, dataset)
    source = experiment_folder(results_dir, name) if tuned else None
    if source is not None:
        settings = settings.model_copy(
            update={"tuned": select(read_tuned(source), [*settings.methods, *settings.backbones])}
        )
        name = f"{name}-tuned"
    request = Request(
        settings=settings,
        experiment=name,
        results_dir=results_dir,
        data_dir=data_dir,
        device=device,
        workers=workers,
        plugins=tuple(plugin or ()),
        command="ferfuse " + shlex.join(sys.argv[1:]),
        source=source,
    )
    options = MirrorOptions(request.folder, reports_dir / name, request.plugins, system_metrics)
    with LiveMirror(options) as mirror:
        with TerminalProgress(request, mirror if track else None) as progress:
            summary = run_experiment(request, progress)
        _print_report(request.folder, reports_dir)
        if source is not None:
            _print_tuning(source, request.folder, reports_dir)
    if summary.done == 0 and not summary.failures:
        typer.echo(f"All {summary.runs} runs of experiment '{name}' were finished already; nothing to do.")
    for failure in summary.failures:
        typer.echo(f"failed: {failure.run.label}: {failure.reason}", err=True)
    if summary.failures:
        raise typer.Exit(1)


@app.command()
def plan(
    profile: Profile = "demo",
    dataset: Dataset = None,
    data_root: DataRoot = None,
    experiment: Experiment = None,
    seeds: Seeds = None,
    backbones: Backbones = None,
    methods: Methods = None,
    plugin: Plugins = None,
    assignments: Assignments = None,
    arms: Arms = None,
    results_dir: ResultsDir = Path("results"),
    data_dir: DataDir = Path("data"),
    as_json: AsJson = False,
) -> None:
    """List the runs that `reproduce` would do with the same options, and which are finished.

    Example: ferfuse plan --profile paper --data-root /data/RAF-DB/basic --dataset raf-db
    """
    from benchmark.engine.experiment import Request, planned_runs
    from benchmark.ledger import is_finished

    settings = load_config(profile, overrides(dataset, data_root, seeds, backbones, methods, assignments, arms))
    name = experiment or experiment_name(profile, dataset)
    request = Request(settings, name, results_dir, data_dir, plugins=tuple(plugin or ()))
    rows: list[dict[str, Any]] = [
        {
            "run_id": run.run_id,
            "kind": run.kind,
            "method": run.method,
            "backbones": list(run.backbones),
            "seed": run.seed,
            "parents": list(run.parents),
            "finished": is_finished(request.folder, run.run_id),
        }
        for run in planned_runs(request)
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        what = row["method"] or "backbone"
        done = "finished" if row["finished"] else "to do"
        typer.echo(f"{row['run_id']}  seed {row['seed']}  {what:<32} {'+'.join(row['backbones']):<24} {done}")
    finished = sum(row["finished"] for row in rows)
    typer.echo(f"{len(rows)} runs: {finished} finished, {len(rows) - finished} to do")


@app.command()
def status(
    profile: Profile = "demo",
    dataset: Dataset = None,
    experiment: Experiment = None,
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Tell how many runs of an experiment are finished.

    Example: ferfuse status --experiment demo
    """
    from benchmark.ledger import existing_experiment, finished_runs

    folder = experiment_folder(results_dir, experiment or experiment_name(profile, dataset))
    description = existing_experiment(folder)
    planned = description["plan"]["runs"]
    finished = set(finished_runs(folder))
    counts = {
        "experiment": description["experiment"],
        "planned": len(planned),
        "finished": sum(run_id in finished for run_id in planned),
        "finished_beside_plan": len(finished.difference(planned)),
    }
    if as_json:
        typer.echo(json.dumps(counts, indent=1))
        return
    typer.echo(f"{counts['experiment']}: {counts['finished']} of {counts['planned']} planned runs finished")


def _print_tuning(source: Path, folder: Path, reports_dir: Path) -> None:
    """Write and show default against tuned settings, where the defaults have been run."""
    from benchmark.reporting.tuning import write_tuning_table

    default, tuned = load_ledger(source), load_ledger(folder)
    if default.of_kind("fusion"):
        typer.echo(write_tuning_table(default, tuned, read_searches(source), reports_dir))
    else:
        typer.echo(
            f"`ferfuse reproduce --experiment {source.name}` first: then default and tuned settings are compared."
        )


def _print_report(folder: Path, reports_dir: Path) -> None:
    """Write the verdicts and the tables, show Tables 1 and 2 and the answer."""
    from benchmark.reporting.report import current_verdicts, make_table, refresh_verdicts, write_tables

    ledger = load_ledger(folder)
    answer = refresh_verdicts(ledger, reports_dir)
    paths = write_tables(ledger, reports_dir)
    found = current_verdicts(ledger, reports_dir)
    for number in (1, 2):
        show_table(make_table(number, ledger, found))
        typer.echo()
    typer.echo(answer)
    typer.echo(
        f"Tables are in {paths[0].parent}, the ledger in {folder}; `ferfuse report` adds figures and a page, "
        "`mlflow ui` shows the runs."
    )
