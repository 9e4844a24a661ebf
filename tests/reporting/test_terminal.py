"""A table on a terminal is never wider than it, and says what it left out."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from benchmark.config import UserError
from benchmark.ledger import Ledger, load_ledger
from benchmark.reporting.report import make_table
from benchmark.reporting.tables import Cell, Column, Table
from benchmark.reporting.terminal import fit, print_table

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "ledger"


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return load_ledger(GOLDEN)


def printed(table: Table, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    print_table(table, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [30, 60, 80, 100, 200])
@pytest.mark.parametrize("number", range(1, 6))
def test_no_line_is_wider_than_the_terminal_and_no_accuracy_is_lost(number: int, width: int, ledger: Ledger) -> None:
    table = make_table(number, ledger)
    lines = printed(table, width)
    assert max(map(len, lines)) <= width
    if width >= 60:
        first = table.names
        assert all(any(row[first].text in line for line in lines) for row in table.rows)
        names = [word for row in table.rows for word in row[0].text.split()]
        assert all(any(word in line for line in lines) for word in names)


def test_what_is_needed_least_gives_way_first_and_is_named(ledger: Ledger) -> None:
    table = make_table(2, ledger)
    wide, narrow = printed(table, 200), printed(table, 80)
    assert not any("Not shown" in line for line in wide)
    assert any("ms/image" in line for line in wide)
    said = " ".join(" ".join(narrow).split())
    assert "Not shown for want of room: macs, parameters, milliseconds" in said
    assert "interval" in said
    assert "Accuracy (%)" in said
    assert "86.35 *" in said


def test_columns_without_a_rank_give_way_from_the_right_but_for_the_first() -> None:
    columns = [Column("name", "Name", kind="name"), *(Column(key, key * 10) for key in "abc")]
    table = Table(1, "t", columns, [[Cell("x", ("x",)), *[Cell("1.00", (1.0,))] * 3]])
    shown, left = fit(table, Console(width=32))
    assert ([c.key for c in shown.columns], [c.key for c in left]) == (["name", "a", "b"], ["c"])
    shown, left = fit(table, Console(width=8))
    assert ([c.key for c in shown.columns], [c.key for c in left]) == (["name", "a"], ["c", "b"])


def test_a_group_names_its_method_once(ledger: Ledger) -> None:
    lines = printed(make_table(2, ledger), 200)
    assert sum("Late fusion" in line for line in lines) == 1
    assert sum("50%_a&b <i>" in line for line in lines) == 1


def test_markup_in_a_title_is_not_taken_for_the_terminals_own() -> None:
    table = Table(
        1, "[bold]t[/bold]", [Column("name", "Name", kind="name")], [[Cell("[red]x[/red]", ("x",))]], ["[b]n"]
    )
    text = "\n".join(printed(table, 80))
    for words in ("[bold]t[/bold]", "[red]x[/red]", "[b]n"):
        assert words in text


def test_columns_are_chosen_in_the_order_asked_for(ledger: Ledger) -> None:
    table = make_table(2, ledger).choose(["n", "accuracy", "n"])
    assert table.header == ["Fusion method", "Model 1", "Model 2", "n", "Accuracy (%)"]
    assert table.rows[0][3].text == "2"
    assert not any(note.startswith("*") for note in table.notes)
    assert any(note.startswith("†") for note in table.notes)
    with pytest.raises(UserError, match="Table 2 has no column 'milisecond'; did you mean milliseconds"):
        make_table(2, ledger).choose(["milisecond"])
    with pytest.raises(UserError, match="no column 'method'"):
        make_table(2, ledger).choose(["method"])
