"""Every `ferfuse …` that is printed runs as typed: it parses, and names its experiment where the command has one."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import benchmark.cli
from benchmark.cli.application import app, spread_lists
from benchmark.ledger import again, load_ledger

ROOT = Path(benchmark.cli.__file__).resolve().parents[1]
COMMAND = re.compile(r"[`'](ferfuse [a-z][^`']*)[`']")
SAID = "x"  # stands for what is put in


def parsed(words: list[str]) -> Any:
    """Parse a command line as the program does, and return the last command's context.

    Raises what the parser raises, for an option or a command that is not there.
    """
    command: Any = typer.main.get_command(app)
    words = spread_lists(words)
    context = None
    while hasattr(command, "commands"):
        name, words = words[0], words[1:]
        command = command.commands[name]
    return command.make_context(name, words, parent=context)


def text_of(node: ast.AST) -> str:
    """The words of a string, whatever is put in as one word."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    assert isinstance(node, ast.JoinedStr)
    return "".join(str(one.value) if isinstance(one, ast.Constant) else SAID for one in node.values)


def printed() -> Iterator[tuple[str, bool, str]]:
    """Every command in a string of the source, whether it is help, and where; docstrings are read, not printed."""
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = list(ast.walk(tree))
        helps = {id(word.value) for node in nodes if isinstance(node, ast.Call) for word in node.keywords
                 if word.arg == "help"}  # fmt: skip
        inner = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in ast.walk(node)} - {
            id(node) for node in nodes if isinstance(node, ast.JoinedStr)
        }
        alone = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            is_text = isinstance(node, ast.JoinedStr) or (
                isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner
            )
            if is_text and id(node) not in alone:
                for found in COMMAND.findall(text_of(node)):
                    yield found, id(node) in helps, f"{path.relative_to(ROOT)}:{node.lineno}"  # type: ignore[attr-defined]


PRINTED = list(printed())


def test_there_are_some() -> None:
    assert len(PRINTED) > 12


@pytest.mark.parametrize(("text", "is_help", "where"), PRINTED, ids=lambda value: str(value))
def test_a_printed_command_parses_and_names_its_experiment(text: str, is_help: bool, where: str) -> None:
    words = shlex.split(text)[1:]
    if is_help and len(words) == 1:
        assert words[0] in typer.main.get_command(app).commands  # type: ignore[attr-defined]
        return
    command = parsed(words).command
    takes = {name for option in command.params for name in option.opts}
    if not is_help and "--experiment" in takes:
        assert {"--experiment", "--ledger"} & set(words), where


def test_wrong_commands_are_caught() -> None:
    for words in (["tabel", "2"], ["status", "--al"], ["table"]):
        with pytest.raises(Exception, match=r"tabel|--al|number"):
            parsed(words)


def test_the_command_that_goes_on_is_the_typed_one() -> None:
    ledger = load_ledger(ROOT.parent / "results" / "reference" / "open-faces-cpu")
    words = shlex.split(again(ledger.experiment, "--retry-failed"))
    assert words[:2] == ["ferfuse", "reproduce"]
    assert words[-1] == "--retry-failed"
    assert parsed(words[1:]).params["profile"] == ledger.experiment["settings"]["profile"]
    assert again({"experiment": "mine"}) == "ferfuse reproduce --experiment mine"
