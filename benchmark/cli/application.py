"""The application that commands join, and how it is run: a user's fault is one line and exit status 2."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from benchmark.cli.help import Application, GroupedCommands
from benchmark.config import UserError
from benchmark.ledger import storage_fault


def application(name: str, purpose: str, *, completes: bool = False) -> typer.Typer:
    """Return an application without commands yet."""
    return Application(
        name=name,
        cls=GroupedCommands,
        help=purpose,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        add_completion=completes,
    )


app = application(
    "ferfuse", "Is this fusion method's gain real? A reproducible benchmark and ablation suite.", completes=True
)


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"ferfuse {version('ferfuse')}")
        raise typer.Exit


@app.callback()
def _about(
    _: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Is this fusion method's gain real? A reproducible benchmark and ablation suite."""


def spread_lists(arguments: list[str], commands: typer.Typer = app) -> list[str]:
    """Turn `--methods late early` into `--methods late --methods early`, which the option parser understands."""
    whole: Any = typer.main.get_command(commands)
    named = getattr(whole, "commands", {}).get(arguments[0] if arguments else "", whole)
    many = _list_options(named)
    spread: list[str] = []
    option = ""
    for argument in arguments:
        if argument in many:
            option = argument
            spread.append(argument)
        elif argument.startswith("--") or not option:
            option = ""
            spread.append(argument)
        else:
            kept = any(sign in argument for sign in ":=/.[")  # settings, paths: a comma may be part of them
            words = [argument] if kept else [word for word in argument.split(",") if word]
            for word in words:
                spread += [word] if spread[-1] == option else [option, word]
    return spread


def _list_options(command: Any) -> set[str]:
    """Return the options that take several values, of a command and those below it."""
    own = {name for option in command.params if getattr(option, "multiple", False) for name in option.opts}
    return own.union(*(_list_options(one) for one in getattr(command, "commands", {}).values()))


def main(commands: typer.Typer = app) -> None:
    """Run the command line; a user's fault is one line and exit status 2."""
    _give_a_home()
    _silence_libraries()
    try:
        sys.exit(commands(args=spread_lists(sys.argv[1:], commands) or ["--help"], standalone_mode=False))
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


def _give_a_home() -> None:
    """Let libraries that look for a home find one, where the user has none (containers, cron)."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = tempfile.gettempdir()


def _silence_libraries() -> None:
    """Keep the warnings of libraries off the terminal, of worker processes too, unless the user asks for them."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        os.environ["PYTHONWARNINGS"] = "ignore"


def _end(message: str, status: int) -> NoReturn:
    typer.echo(f"ferfuse: {message}", err=True)
    sys.exit(status)
