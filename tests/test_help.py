"""What --help shows: every command in a group, and no sentence cut off at 80 columns."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from benchmark.cli.application import app
from benchmark.cli.help import COMMANDS, OPTIONS, first_sentence, grouped

MAIN: Any = typer.main.get_command(app)
NAMED = sorted({name for names in COMMANDS.values() for name in names})


def help_of(*words: str) -> str:
    command, context = MAIN, None
    for word in words:
        context, command = command.make_context(command.name, [], resilient_parsing=True), command.commands[word]
    context = typer.Context(command, info_name=" ".join(words), parent=context, terminal_width=80)
    return str(command.get_help(context))


def test_every_command_has_a_place() -> None:
    assert sorted(MAIN.commands) == NAMED


@pytest.mark.parametrize("words", [(), *((name,) for name in NAMED), ("data", "check"), ("data", "import")])
def test_no_line_is_over_80_columns_and_no_sentence_is_cut(words: tuple[str, ...]) -> None:
    text = help_of(*words)
    assert max(map(len, text.splitlines())) <= 80
    assert not [line for line in text.splitlines()[1:] if line.endswith("...")]


def test_summaries_are_whole_sentences() -> None:
    shown = " ".join(help_of().split())
    for name, command in MAIN.commands.items():
        assert first_sentence(command.help) in shown, name


def test_options_stand_in_their_groups() -> None:
    text = help_of("reproduce")
    places = [text.index(f"\n{title}:") for title in OPTIONS]
    assert places == sorted(places)
    assert places[1] < text.index("--seeds <") < places[2] < text.index("--engine <") < places[3]
    takes = {name for option in MAIN.commands["reproduce"].params for name in option.opts}
    assert {name for names in OPTIONS.values() for name in names} <= takes | {"--ledger"}


def test_what_has_no_group_comes_last() -> None:
    rows = {name: (name, "") for name in "abc"}
    assert grouped(rows, {"B": ("b", "x")}, "rest") == {"B": [("b", "")], "rest": [("a", ""), ("c", "")]}
