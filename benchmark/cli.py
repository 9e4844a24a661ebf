"""The command line: reads what the user typed, calls the rooms, prints. Heavy imports wait until they are needed."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from benchmark.config import UserError, load_config, parse_assignment
from benchmark.ledger import experiment_folder, load_ledger

app = typer.Typer(
    name="ferfuse",
    help="Is this fusion method's gain real? A reproducible benchmark and ablation suite.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
MANY = ("--backbones", "--methods", "--plugin", "--set", "--arms")

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
    engine: Annotated[str, typer.Option(help="local; ray is not part of this version.")] = "local",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    workers: Annotated[int, typer.Option(help="Processes side by side; 0 chooses.")] = 0,
    track: Annotated[bool, typer.Option(help="Mirror the runs into MLflow.")] = True,
    results_dir: ResultsDir = Path("results"),
    reports_dir: ReportsDir = Path("reports"),
    data_dir: DataDir = Path("data"),
) -> None:
    """Run whatever is not finished yet, then print Tables 1 and 2.

    Example: ferfuse reproduce --profile demo --seeds 5 --methods late attention-fusion:axis=batch
    """
    from benchmark.engine.experiment import Request, run_experiment
    from benchmark.engine.progress import TerminalProgress

    if engine != "local":
        known = "ray is not part of this version; use local" if engine == "ray" else "use local"
        raise UserError(f"--engine {engine}: {known}")
    settings = load_config(profile, _overrides(dataset, data_root, seeds, backbones, methods, assignments, arms))
    name = experiment or _experiment_name(profile, dataset)
    request = Request(
        settings=settings,
        experiment=name,
        results_dir=results_dir,
        data_dir=data_dir,
        device=device,
        workers=workers,
        plugins=tuple(plugin or ()),
        command="ferfuse " + shlex.join(sys.argv[1:]),
    )
    progress = TerminalProgress(request, track)
    with progress:
        summary = run_experiment(request, progress)
    _print_report(experiment_folder(results_dir, name), reports_dir)
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

    settings = load_config(profile, _overrides(dataset, data_root, seeds, backbones, methods, assignments, arms))
    name = experiment or _experiment_name(profile, dataset)
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

    folder = experiment_folder(results_dir, experiment or _experiment_name(profile, dataset))
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
    from benchmark.reporting.report import make_table
    from benchmark.reporting.tables import render

    folder = experiment_folder(results_dir, experiment or _experiment_name(profile, dataset))
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

    folder = ledger or experiment_folder(results_dir, experiment or _experiment_name(profile, dataset))
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

    ledger = load_ledger(experiment_folder(results_dir, experiment or _experiment_name(profile, dataset)))
    found = make_significance(ledger, Protocol(margin=margin))
    rows = power_rows(found)
    typer.echo(json.dumps(rows, indent=1) if as_json else _columns(rows))


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

    name = experiment or _experiment_name(profile, dataset)
    request = finished_request(results_dir, name, data_dir, device, tuple(plugin or ()))
    runs, workspace = finished_runs(request)
    findings = audit_experiment(runs, methods, workspace)
    write_findings(request.folder, findings)
    ledger = load_ledger(request.folder)
    write_tables(ledger, reports_dir)
    refresh_verdicts(ledger, reports_dir)
    rows = summarise(findings)
    typer.echo(json.dumps(rows, indent=1) if as_json else _columns(rows))


data_app = typer.Typer(help="Data sets on disk.")
app.add_typer(data_app, name="data")


@data_app.command()
def check(
    dataset: Annotated[str, typer.Option(help="synthetic or raf-db.")] = "raf-db",
    data_root: DataRoot = None,
    data_dir: DataDir = Path("data"),
    as_json: AsJson = False,
) -> None:
    """Read a data set completely, labels and every image, and tell what it holds.

    Example: ferfuse data check --dataset raf-db --data-root /data/RAF-DB/basic
    """
    import numpy as np

    from benchmark.data.sources import open_dataset
    from benchmark.data.store import stored_images

    settings = load_config("demo", {"data.dataset": dataset, "data.root": data_root}).data
    manifest = open_dataset(settings, data_dir)
    stored_images(manifest, settings.image_size, data_dir)
    found: dict[str, Any] = {
        "dataset": manifest.dataset,
        "digest": manifest.content_digest(data_dir / "store"),
    }
    for name, rows in (("train", ~manifest.is_test), ("test", manifest.is_test)):
        counts = np.bincount(manifest.labels[rows], minlength=len(manifest.classes)).tolist()
        found[name] = dict(zip(manifest.classes, counts, strict=True))
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    typer.echo(f"{manifest.title}: every image is readable; digest {found['digest']}")
    for name in ("train", "test"):
        counts_text = ", ".join(f"{label} {count}" for label, count in found[name].items())
        typer.echo(f"{name}: {sum(found[name].values())} images ({counts_text})")


@data_app.command()
def synthesize(
    target: Annotated[Path, typer.Argument(help="Folder to write; must not exist yet.")],
    train: Annotated[int, typer.Option(help="Number of training images.")] = 600,
    test: Annotated[int, typer.Option(help="Number of test images.")] = 300,
    seed: Annotated[int, typer.Option(help="Seed of the drawing.")] = 0,
    label_noise: Annotated[float, typer.Option(help="Share of labels that are wrong.")] = 0.02,
) -> None:
    """Draw synthetic faces in RAF-DB's layout.

    Example: ferfuse data synthesize data/faces --train 2000 --test 500
    """
    from benchmark.data.synthetic import write_synthetic_faces

    if target.exists():
        raise UserError(f"{target} exists already; give a folder that does not")
    try:
        write_synthetic_faces(target, train=train, test=test, seed=seed, label_noise=label_noise)
    except ValueError as error:
        raise UserError(str(error)) from error
    typer.echo(f"drew {train} training and {test} test faces into {target}")


@app.command(name="list")
def list_registered(
    what: Annotated[str, typer.Argument(help="methods, backbones or datasets.")],
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """List what can be named.

    Example: ferfuse list methods
    """
    from benchmark.engine.experiment import catalogue

    rows = catalogue(what, tuple(plugin or ()))
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        typer.echo("  ".join([f"{row['name']:<{width}}", *(str(v) for k, v in row.items() if k != "name" and v)]))


def _columns(rows: list[dict[str, Any]]) -> str:
    """Write rows of equal keys as aligned columns."""
    from tabulate import tabulate

    return tabulate(rows, headers="keys", tablefmt="simple", floatfmt=".2f")


def _overrides(
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
    overrides = {name: value for name, value in given.items() if value is not None}
    if backbones:
        overrides["groups"] = "pairs"
    return {**overrides, **dict(parse_assignment(text) for text in assignments or ())}


def _experiment_name(profile: str, dataset: str | None) -> str:
    stem = Path(profile).stem if profile.endswith((".yaml", ".yml")) else profile
    return f"{stem}-{dataset}" if dataset else stem


def _print_report(folder: Path, reports_dir: Path) -> None:
    """Write the tables and the verdicts, show Tables 1 and 2 and the answer."""
    from benchmark.reporting.report import make_table, refresh_verdicts, write_tables
    from benchmark.reporting.tables import render

    ledger = load_ledger(folder)
    paths = write_tables(ledger, reports_dir)
    for number in (1, 2):
        typer.echo(render(make_table(number, ledger), "markdown"))
    typer.echo(refresh_verdicts(ledger, reports_dir))
    typer.echo(f"Tables are in {paths[0].parent}, the ledger in {folder}; `mlflow ui` shows the runs.")


def spread_lists(arguments: list[str]) -> list[str]:
    """Turn `--methods late early` into `--methods late --methods early`, which the option parser understands."""
    spread: list[str] = []
    option = ""
    for argument in arguments:
        if argument in MANY:
            option = argument
            spread.append(argument)
        elif argument.startswith("--") or not option:
            option = ""
            spread.append(argument)
        elif spread[-1] == option:
            spread.append(argument)
        else:
            spread += [option, argument]
    return spread


def main() -> None:
    """Run the command line; a user's fault is one line and exit status 2."""
    try:
        sys.exit(app(args=spread_lists(sys.argv[1:]) or ["--help"], standalone_mode=False))
    except UserError as error:
        _end(f"{error}", 2)
    except (KeyboardInterrupt, typer.Abort):
        _end("stopped; finished runs are kept, the same command goes on from here", 130)
    except Exception as error:
        # What the option parser raises: typer brings click along or takes the installed one, by version.
        if not hasattr(error, "format_message"):
            raise
        _end(f"{error.format_message().rstrip('.')}; see --help", 2)


def _end(message: str, status: int) -> NoReturn:
    typer.echo(f"ferfuse: {message}", err=True)
    sys.exit(status)
