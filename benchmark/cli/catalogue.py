"""The command that lists what can be named."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from benchmark.cli.application import app
from benchmark.cli.options import AsJson, Plugins


@app.command(name="list")
def list_registered(
    what: Annotated[str, typer.Argument(help="methods, backbones or datasets.")],
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """List what can be named.

    Example: ferfuse list methods
    """
    from benchmark.engine.catalogue import catalogue

    rows = catalogue(what, tuple(plugin or ()))
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        typer.echo("  ".join([f"{row['name']:<{width}}", *(str(v) for k, v in row.items() if k != "name" and v)]))
