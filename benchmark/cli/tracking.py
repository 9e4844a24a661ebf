"""Commands about what a finished experiment is used for: track (browse its runs in MLflow), predict (ask a model)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.application import app
from benchmark.cli.options import (
    AsJson,
    DataDir,
    Plugins,
    ReportsDir,
    Which,
    WhichLedger,
    columns,
)
from benchmark.ledger import load_ledger


@app.command()
def track(
    which: WhichLedger,
    sync: Annotated[bool, typer.Option("--sync", help="Write what MLflow lacks; a second time adds nothing.")] = False,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow's store; MLFLOW_TRACKING_URI or mlflow.db.")] = None,
    plugin: Plugins = None,
    reports_dir: ReportsDir = Path("reports"),
    as_json: AsJson = False,
) -> None:
    """Tell how many runs of a ledger MLflow holds; with --sync, write the others, the report and the best model.

    Example: ferfuse track --sync --ledger results/reference
    """
    from benchmark.plugins import remembered_plugins
    from benchmark.reporting.report import refresh_verdicts, write_tables
    from benchmark.tracking.sync import count_runs, synchronise, use_store

    folder = which.folder
    loaded = load_ledger(folder)
    where = use_store(tracking_uri)
    if sync:
        write_tables(loaded, reports_dir)
        refresh_verdicts(loaded, reports_dir)
        plugins = remembered_plugins(loaded.experiment, loaded.experiment.get("plugins", {}), plugin or ())
        counts = synchronise(folder, reports_dir / loaded.name, plugins)
    else:
        counts = count_runs(folder)
    found = {"experiment": loaded.name, "store": where, "runs": counts.runs, "held": counts.held}
    if as_json:
        typer.echo(json.dumps({**found, "written": counts.written}, indent=1))
        return
    typer.echo(f"{loaded.name}: MLflow at {where} holds {counts.held} of {counts.runs} runs")
    if sync:
        typer.echo(f"{counts.written} of them were written just now")


@app.command()
def ui(
    which: Which,
    port: Annotated[int, typer.Option(help="Where the pages are served, on this machine alone.")] = 5000,
    browse: Annotated[bool, typer.Option("--open/--no-open", help="Open the results in a browser.")] = True,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow's store; MLFLOW_TRACKING_URI or mlflow.db.")] = None,
) -> None:
    """Serve MLflow's pages and open the results of an experiment in them; Ctrl-C ends it.

    Example: ferfuse ui --experiment demo
    """
    from benchmark.tracking.serving import serve
    from benchmark.tracking.sync import results_address, use_store

    name, folder = which.name, which.folder
    store = use_store(tracking_uri)
    place = results_address(folder) if (folder / "experiment.json").is_file() else None
    if place is None:
        typer.echo(
            f"MLflow holds no run of '{name}'; `ferfuse track --sync --experiment {name}` writes those finished."
        )
    raise typer.Exit(serve(store, port, place or "", browse=browse, say=typer.echo))


@app.command()
def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    which: Which,
    run: Annotated[str | None, typer.Option(help="Beginning of a run's id; the best on validation otherwise.")] = None,
    plugin: Plugins = None,
    data_dir: DataDir = Path("data"),
    as_json: AsJson = False,
) -> None:
    """Tell what a trained model sees in images: the probability of every class.

    An end-to-end run whose weights are gone is trained again where --run names it.

    Example: ferfuse predict --experiment demo face1.jpg face2.jpg
    """
    from benchmark.engine.experiment import finished_request, restore_weights
    from benchmark.plugins import load_plugins, remembered_plugins
    from benchmark.scratch import half_made_folder
    from benchmark.trained import find_run, gather, keeps_weights
    from benchmark.training.inference import Predictor

    ledger = load_ledger(which.folder)
    record = find_run(ledger, run)
    plugins = remembered_plugins(ledger.experiment, record.sources, plugin or ())
    load_plugins(plugins)
    if record.hyperparameters.get("end_to_end") and not keeps_weights(ledger, record):
        device = "cpu" if record.device == "cpu" else "auto"
        restore_weights(finished_request(which.results_dir, ledger.name, data_dir, device, plugins), record)
    with half_made_folder(ledger.root / "model") as folder:
        gather(ledger, record, plugins, folder)
        predictor = Predictor(folder)
        probabilities = predictor.probabilities(images)
    rows = [
        {
            "image": str(image),
            "class": predictor.classes[row.argmax()],
            **dict(zip(predictor.classes, row.tolist(), strict=True)),
        }
        for image, row in zip(images, probabilities, strict=True)
    ]
    if as_json:
        about = {"run_id": record.run_id, "synthetic": predictor.description["synthetic"]}
        typer.echo(json.dumps({**about, "predictions": rows}, indent=1))
        return
    typer.echo(columns(rows))
    drawn = "; it has learnt from drawn faces only" if predictor.description["synthetic"] else ""
    typer.echo(f"Model: {record.method or 'backbone'} · {'+'.join(record.backbones)} · seed {record.seed}{drawn}.")
