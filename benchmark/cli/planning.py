"""The command that says what would be run, and what it would take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli.application import app
from benchmark.cli.options import AsJson, Asked, Device, columns
from benchmark.config import Settings
from benchmark.ledger import finished_runs, load_ledger
from benchmark.reporting.wording import counted

if TYPE_CHECKING:
    from benchmark.engine.experiment import Request
    from benchmark.plan import Run


WORTH_SAVING = 600  # seconds
MANY = 5  # names, beyond which they are counted


@app.command()
def plan(
    asked: Asked,
    device: Device = "auto",
    workers: Annotated[int, typer.Option(help="Processes side by side; 0 chooses.")] = 0,
    every: Annotated[bool, typer.Option("--all", help="A line for every run, with its id.")] = False,
    estimate: Annotated[bool, typer.Option(help="Calibrate for some seconds and tell time and memory.")] = True,
    as_json: AsJson = False,
) -> None:
    """Tell what `reproduce` would run, how much is finished, and what time and memory the rest takes.

    Example: ferfuse plan --profile paper --data-root /data/RAF-DB/basic --dataset raf-db
    """
    from benchmark.engine.description import with_remembered_plugins

    request = with_remembered_plugins(asked.request(device=device, workers=workers))
    settings = request.settings
    found = _planned(request, estimate)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    if every:
        for row in found["runs"]:
            what = row["method"] or "backbone"
            done = "finished" if row["finished"] else "to do"
            typer.echo(f"{row['run_id']}  seed {row['seed']}  {what:<32} {'+'.join(row['backbones']):<24} {done}")
    else:
        typer.echo(columns(_by_method(found["runs"])))
    left = sum(not row["finished"] for row in found["runs"])
    typer.echo(f"{counted(len(found['runs']), 'run')}: {len(found['runs']) - left} finished, {left} to do")
    typer.echo(_chances(settings, found["looks"]))
    if expected := found["estimate"]:
        team = counted(expected["workers"], "worker")
        typer.echo(
            f"about {_duration(expected['seconds'])}, {expected['memory'] / 1e9:.1f} GB of memory and "
            f"{expected['disk'] / 1e9:.1f} GB of disk with {team} on {expected['device']}, an estimate: "
            f"{_basis(expected['calibrated'], left)}"
        )
        if expected["scaled"]:
            typer.echo(_scaling(expected["scaled"]))
        if expected["seconds"] > WORTH_SAVING:
            typer.echo(_savings(settings, expected["half"]))


def _by_method(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a line for the networks alone and for every method: runs, how many are to do, on what."""
    rows = []
    for method in dict.fromkeys(run["method"] for run in runs):
        own = [run for run in runs if run["method"] == method]
        groups = dict.fromkeys("+".join(run["backbones"]) for run in own)
        on = counted(len(groups), "network" if method is None else "group")
        seeds = counted(len({run["seed"] for run in own}), "seed")
        left = sum(not run["finished"] for run in own)
        rows.append({"method": method or "networks alone", "on": f"{on}, {seeds}", "runs": len(own), "to do": left})
    return rows


def _chances(settings: Settings, rows: list[dict[str, Any]]) -> str:
    """Say which gains the planned seeds would show, were noise as it often is."""
    here = [row for row in rows if row["on"] == "this test set"]
    chances = "; ".join(f"{row['seeds']} seeds {100 * row['+1']:.0f} % and {100 * row['+2']:.0f} %" for row in here)
    planned = settings.statistics.looks or [settings.seeds]
    seeds = f"verdicts at {', '.join(map(str, planned))} seed{'s' * (planned != [1])} (statistics.looks)"
    if not chances:
        return f"{seeds}: too few to show a gain"
    return (
        f"{seeds}; chance to show gains of 1 and 2 points "
        f"where differences scatter by 1 point over seeds, on this test set: {chances}"
    )


def _basis(calibrated: int, left: int) -> str:
    """Tell what the estimate of the runs that are left rests on."""
    if calibrated == left:
        return "from a calibration"
    if calibrated == 0:
        return "from finished runs like them"
    return f"{calibrated} runs from a calibration, the other {left - calibrated} from finished runs like them"


def _scaling(scaled: dict[str, str]) -> str:
    """Tell what was not measured, as calibrating stopped, and whose measured rate it was scaled from."""
    by_known: dict[str, list[str]] = {}
    for name, known in scaled.items():
        by_known.setdefault(known, []).append(name)
    parts = [
        f"{', '.join(names) if len(names) <= MANY else f'{len(names)} others'} from {known}'s measured rate"
        for known, names in by_known.items()
    ]
    return f"not measured for lack of time but scaled by multiply-adds: {'; '.join(parts)}"


def _savings(settings: Settings, half: dict[str, float]) -> str:
    """Tell what a smaller plan would take."""
    size = settings.data.image_size
    ways = [f"{_duration(half['epochs'])} with half the epochs"]
    if settings.seeds > 1:
        ways.insert(0, f"{_duration(half['seeds'])} with {(settings.seeds + 1) // 2} seeds instead of {settings.seeds}")
    ways.append(f"{_duration(half['image_size'])} at {size // 2} pixels instead of {size}, if time goes with the area")
    return f"to save time: about {', '.join(ways)}"


def _planned(request: Request, with_estimate: bool) -> dict[str, Any]:
    """Return the runs of a plan and, for those that are to do, what they will take."""
    from benchmark.engine.experiment import planned_runs
    from benchmark.ledger import is_finished
    from benchmark.reporting.pages import planned_chances

    runs = planned_runs(request)
    to_do = [run for run in runs if not is_finished(request.folder, run.run_id)]
    waiting = {run.run_id for run in to_do}
    rows = [
        {
            "run_id": run.run_id,
            "kind": run.kind,
            "method": run.method,
            "backbones": list(run.backbones),
            "seed": run.seed,
            "parents": list(run.parents),
            "finished": run.run_id not in waiting,
        }
        for run in runs
    ]
    settings = request.settings
    plan = settings.statistics.looks or [settings.seeds]
    return {
        "runs": rows,
        "looks": planned_chances(plan, 1.0, 0.0, max(len(settings.methods) - 1, 1)),
        "estimate": _expected(request, to_do) if with_estimate and to_do else None,
    }


def _expected(request: Request, to_do: Sequence[Run]) -> dict[str, Any]:
    from benchmark.engine.estimate import estimate
    from benchmark.engine.experiment import planned_workspace
    from benchmark.engine.local import worker_devices

    workspace = planned_workspace(request)
    devices = worker_devices(workspace.device, request.workers, request.workers_per_gpu)[: len(to_do)]
    finished = load_ledger(request.folder).records if finished_runs(request.folder) else []
    found = estimate(to_do, finished, workspace, devices, request.plugins)
    return {**asdict(found), "workers": len(devices), "device": workspace.device}


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
