"""The command that lists what can be named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.cli.application import app
from benchmark.cli.help import first_sentence
from benchmark.cli.options import AsJson, Plugins, ResultsDir, experiment_folders
from benchmark.config import UserError, nearest, profile_names, profile_path
from benchmark.ledger import finished_runs, read_experiment

REGISTERED = ("methods", "backbones", "datasets")
HIDDEN = ("name", "kind", "end_to_end")


@app.command(name="list")
def list_registered(
    what: Annotated[str, typer.Argument(help="methods, backbones, datasets, profiles, experiments or columns.")],
    plugin: Plugins = None,
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
) -> None:
    """List what can be named.

    Example: ferfuse list methods
    """
    others: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "profiles": _profiles,
        "experiments": lambda: _experiments(results_dir),
        "columns": _columns,
    }
    if what in REGISTERED:
        from benchmark.engine.registered import registered

        rows = registered(what, tuple(plugin or ()))
    elif what in others:
        rows = others[what]()
    else:
        raise UserError(f"cannot list '{what}'; {nearest(what, [*REGISTERED, *others])}")
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    width = max((len(row["name"]) for row in rows), default=0)
    kind = None
    for row in rows:
        if row.get("kind") != kind:
            kind = row["kind"]
            typer.echo(f"{kind[0].upper()}{kind[1:]}:")
        shown = [str(value) for key, value in row.items() if key not in HIDDEN and value]
        typer.echo("  " * bool(kind) + "  ".join([f"{row['name']:<{width}}", *shown]))
    if what == "methods":
        typer.echo("`ferfuse table 6 --experiment NAME` joins networks without any training.")


def _profiles() -> list[dict[str, Any]]:
    """Return the profiles that come with ferfuse, with the first sentence about each."""
    rows = []
    for name in profile_names():
        lines = profile_path(name).read_text(encoding="utf-8").splitlines()
        comment = "\n".join(line.removeprefix("#").strip() for line in lines if line.startswith("#"))
        rows.append({"name": name, "purpose": first_sentence(comment.split("\n\n")[1])})
    return rows


def _experiments(results_dir: Path) -> list[dict[str, Any]]:
    """Return the experiments of a results folder, with what they are about and how many runs are finished."""
    rows = []
    for name, folder in experiment_folders(results_dir).items():
        description = read_experiment(folder) or {}
        rows.append(
            {
                "name": name,
                "data": description["dataset"]["title"],
                "profile": f"profile {description['settings']['profile']}",
                "finished": f"{len(finished_runs(folder))} finished",
            }
        )
    return rows


def _columns() -> list[dict[str, Any]]:
    """Return the columns that `--columns` takes for Tables 1 and 2."""
    from benchmark.reporting.accuracy import number_columns

    return [{"name": column.key, "title": column.title} for column in number_columns()]
