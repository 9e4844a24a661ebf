"""The application that commands join, and how it is run: a user's fault is one line and exit status 2."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from benchmark.config import UserError
from benchmark.ledger import storage_fault

app = typer.Typer(
    name="ferfuse",
    help="Is this fusion method's gain real? A reproducible benchmark and ablation suite.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
MANY = (
    "--backbones",
    "--methods",
    "--method",
    "--backbone",
    "--plugin",
    "--question",
    "--against",
    "--set",
    "--arms",
    "--accept",
    "--plant",
    "--share",
    "--compiled",
)


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
    except OSError as error:
        reason = storage_fault(error)
        if reason is None:
            raise
        _end(reason, 2)
    except Exception as error:
        # What the option parser raises: typer brings click along or takes the installed one, by version.
        if not hasattr(error, "format_message"):
            raise
        _end(f"{error.format_message().rstrip('.')}; see --help", 2)


def _end(message: str, status: int) -> NoReturn:
    typer.echo(f"ferfuse: {message}", err=True)
    sys.exit(status)
