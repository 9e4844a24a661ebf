"""The command that searches settings: tune."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.cli.application import app
from benchmark.cli.options import AsJson, Assignments, DataDir, Device, Plugins, ReportsDir, Which, columns
from benchmark.config import UserError
from benchmark.ledger import again, existing_experiment


@app.command()
def tune(
    which: Which,
    method: Annotated[
        list[str] | None, typer.Option("--methods", "--method", help="Methods, separated by blanks.")
    ] = None,
    backbone: Annotated[
        list[str] | None, typer.Option("--backbones", "--backbone", help="Backbones, separated by blanks.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every frozen method of the experiment.")] = False,
    trials: Annotated[int, typer.Option(min=1, help="Trials of each study.")] = 20,
    studies: Annotated[int, typer.Option(min=1, help="Studies of each method, each with its own seed.")] = 2,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of backbones that a trial is run on.")] = 1,
    pruning: Annotated[bool, typer.Option(help="Stop trials that are below the median of earlier ones.")] = True,
    cost: Annotated[bool, typer.Option("--cost", help="Seek few parameters as well as accuracy.")] = False,
    plugin: Plugins = None,
    assignments: Assignments = None,
    device: Device = "auto",
    workers: Annotated[int, typer.Option(help="Studies side by side; 0 chooses.")] = 0,
    reports_dir: ReportsDir = Path("reports"),
    data_dir: DataDir = Path("data"),
    as_json: AsJson = False,
) -> None:
    """Search each method's settings on validation images alone, with the same budget for every method.

    Backbones that are not trained yet are trained first. `ferfuse reproduce --tuned` uses what is chosen.

    Example: ferfuse tune --methods early attention-fusion --trials 20 --studies 2
    """
    from benchmark.engine.experiment import Request
    from benchmark.engine.local import worker_devices
    from benchmark.engine.searching import prepare_search
    from benchmark.tuning.figures import draw_search
    from benchmark.tuning.search import Budget, Engine, targets_of
    from benchmark.tuning.search import tune as search
    from benchmark.tuning.study import alone

    settings, name = which.settings(assignments), which.name
    request = Request(settings, name, which.results_dir, data_dir, device, workers, tuple(plugin or ()))
    prepared = prepare_search(request, tuple(method or ()), studies, every=every)
    names = [*prepared.methods, *(backbone or ())]
    if not names:
        raise UserError("nothing to tune; name it by --methods or --backbones, or give --all")
    targets, without = targets_of(prepared.runs, names)
    for left_out in without:
        typer.echo(f"{left_out} has nothing to tune", err=True)
    engine = Engine(len(worker_devices(prepared.workspace.device, workers, 1)), prepared.plugins)
    budget = Budget(trials, studies, pairs, pruning, cost)
    total = trials * studies * len(targets)
    with alone(request.folder):
        results = search(targets, budget, prepared.workspace, engine, _Counter(total).ended)
    for found in results:
        draw_search(found, request.folder, reports_dir / name / "tuning")
    rows = [_row(found) for found in results]
    typer.echo(json.dumps(rows, indent=1) if as_json else columns(rows))
    if not as_json:
        way = again(existing_experiment(request.folder), "--tuned")
        typer.echo(f"Chosen on validation, in {request.folder / 'tuned'}; `{way}` uses it.")
        typer.echo(f"Pictures are in {reports_dir / name / 'tuning'}; every trial is in {request.folder / 'tuning'}.")


def _row(found: dict[str, Any]) -> dict[str, Any]:
    """Return a search in one line; accuracies in percent, on validation."""
    best = [100 * study["best_validation_accuracy"] for study in found["studies"]]
    return {
        "name": found["target"],
        "trials": found["budget"]["trials"] * found["budget"]["studies"],
        "epochs": found["epochs_spent"],
        "default (%)": 100 * found["default"]["validation_accuracy"],
        "chosen (%)": 100 * found["chosen"]["validation_accuracy"],
        "best of each study (%)": " ".join(f"{value:.2f}" for value in best),
        "values": " ".join(f"{name}={_short(value)}" for name, value in found["chosen"]["values"].items()),
    }


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


class _Counter:
    """Tell on standard error how many trials have ended."""

    def __init__(self, total: int) -> None:
        self.total, self.last = total, -1

    def ended(self, count: int) -> None:
        """Print the count where it has changed by a twentieth of all."""
        if count == self.total or count >= self.last + max(1, self.total // 20):
            self.last = count
            typer.echo(f"{count}/{self.total} trials", err=True)
