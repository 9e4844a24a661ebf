"""How --help is laid out: commands and options in groups, the first sentence of each command as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from benchmark.cli.option_groups import spread_fields

COMMANDS = {
    "Run": ("reproduce", "plan", "status", "tune", "drop"),
    "Results": ("table", "report", "power", "compare", "judge", "predict"),
    "Checks": ("audit", "transfer", "verify"),
    "Ledgers and MLflow": ("export", "merge", "track", "ui"),
    "What there is": ("list", "data"),
}
OPTIONS = {
    "Experiment": ("--profile", "--dataset", "--data-root", "--experiment", "--ledger"),
    "What is run": (
        "--seeds", "--backbones", "--methods", "--plugin", "--question", "--against", "--set", "--arms", "--accept",
        "--tuned",
    ),
    "How it is run": (
        "--engine", "--device", "--workers", "--workers-per-gpu", "--retry-failed", "--deterministic", "--compile",
        "--checkpoint-seconds", "--track", "--system-metrics",
    ),
    "Folders": ("--results-dir", "--reports-dir", "--data-dir"),
}  # fmt: skip
Rows = list[tuple[str, str]]


class GroupedCommand(typer.core.TyperCommand):
    """A command whose options stand in groups."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options."""
        records = [(param, param.get_help_record(ctx)) for param in self.get_params(ctx)]
        known = [(param, record) for param, record in records if record is not None]
        _write(formatter, {"Arguments": [row for param, row in known if param.param_type_name == "argument"]})
        options = {param.opts[0]: row for param, row in known if param.param_type_name == "option"}
        _write(formatter, grouped(options, OPTIONS, "Options"))


class GroupedCommands(typer.core.TyperGroup):
    """Commands that stand in groups."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each command with its first sentence."""
        rows = {name: (name, first_sentence(one.help or "")) for name, one in self.commands.items()}
        _write(formatter, grouped(rows, COMMANDS, "Commands"))


class Application(typer.Typer):
    """An application whose commands group their options."""

    def command(self, name: str | None = None, **settings: Any) -> Any:
        """Return what registers a command, whose options may be fields of dataclasses."""
        register = super().command(name, **{"cls": GroupedCommand, **settings})
        return lambda function: register(spread_fields(function))


def grouped(rows: Mapping[str, tuple[str, str]], groups: Mapping[str, Sequence[str]], rest: str) -> dict[str, Rows]:
    """Return rows by their groups, in the order of these; whatever is in none comes last."""
    found = {title: [rows[name] for name in names if name in rows] for title, names in groups.items()}
    known = {name for names in groups.values() for name in names}
    return {**found, rest: [row for name, row in rows.items() if name not in known]}


def first_sentence(text: str) -> str:
    """Return the first sentence of a help text."""
    words = " ".join(text.split("\n\n")[0].split())
    return words.partition(". ")[0].rstrip(".") + "."


def _write(formatter: Any, sections: Mapping[str, Rows]) -> None:
    for title, rows in sections.items():
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)
