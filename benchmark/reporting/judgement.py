"""Put the verdicts of `significance.json` into Tables 1 and 2."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmark.reporting.tables import TIED, Cell, Table, name_cell
from benchmark.reporting.wording import Values, counted, listed, title_of

FAMILY_OF = {1: "backbones", 2: "per_pair"}
UNTESTED = "Nothing is tested here yet: 'ferfuse report' tells which differences are real."


def with_verdicts(table: Table, found: Values | None) -> Table:
    """Return Table 1 or 2 with the verdict on each printed number, the best in bold, and what ties with it marked.

    Args:
        found: what `significance.json` holds of the same ledger; None leaves the table as it is, and says so.
    """
    if found is None:
        return replace(table, notes=[*table.notes, UNTESTED])
    place = {column.key: index for index, column in enumerate(table.columns)}
    printed = {
        (row["table"], row["method"], frozenset(row["backbones"] or ())): row["verdict"] for row in found["printed"]
    }
    family = found["standings"].get(FAMILY_OF[int(table.number)], {"groups": [], "compared": [], "comparisons": 0})
    tops = {frozenset(group["pair"] or ()): group["top"] for group in family["groups"]}
    decides = any(len(top) < len(family["compared"]) for top in tops.values())
    rows = []
    for row in table.rows:
        names = [str(cell.values[0]) for cell in row[: table.names] if cell.values[0]]
        method, backbones = (names[0], frozenset(names[1:])) if table.number == 2 else (None, frozenset(names))
        standing = _standing(names[0], tops.get(backbones if method else frozenset(), []), family) if decides else None
        changed = list(row)
        changed[place["accuracy"]] = _with_standing(row[place["accuracy"]], standing)
        changed[place["verdict"]] = _printed_cell(printed.get((table.number, method, backbones)))
        rows.append(changed)
    return replace(table, rows=rows, notes=[*table.notes, *_notes(found, family, decides, int(table.number))])


def _standing(name: str, top: list[str], family: dict[str, Any]) -> str | None:
    """Return "best", "tied" or "below"; None for one that is not compared."""
    if name not in family["compared"]:
        return None
    if name not in top:
        return "below"
    return "best" if len(top) == 1 else "tied"


def _with_standing(cell: Cell, standing: str | None) -> Cell:
    mean, sd, _, depends = cell.values
    marks = (*cell.marks, *[TIED] * (standing == "tied"))
    return replace(cell, values=(mean, sd, standing, depends), marks=marks, is_best=standing == "best")


def _printed_cell(verdict: str | None) -> Cell:
    """Return the verdict on a printed number; on other data there is none to be shown."""
    if verdict is None or verdict == "other data":
        return Cell("", (verdict,))
    return name_cell(verdict)


def _notes(found: Values, family: dict[str, Any], decides: bool, number: int) -> list[str]:
    if family["comparisons"] == 0:
        return []
    test = (
        f"paired t tests over {counted(found['n_seeds'], 'seed')}, Holm over "
        f"{counted(family['comparisons'], 'comparison')} at level {found['protocol']['alpha']:g}"
    )
    beside = "every other method on the same networks" if number == 2 else "every other backbone"
    notes = [
        f"Bold is above {beside}; {TIED} marks the highest and what is not told apart from it: {test}."
        if decides
        else f"The highest is not told apart from any other: {test}."
    ]
    if number == 2 and len(found["pairs"]) > 1:
        notes.append(_overall(found))
    if any(row["table"] == number and row["verdict"] != "other data" for row in found["printed"]):
        notes.append("The verdict is on the paper's value: whether one more run of ours could print it.")
    return notes


def _overall(found: Values) -> str:
    """Say which method leads on the mean over pairs."""
    family = found["standings"]["methods"]
    top, compared = family["groups"][0]["top"], family["compared"]
    holm = f"Holm over {counted(family['comparisons'], 'comparison')}"
    titles = [title_of(found, name) for name in top]
    if len(top) == 1:
        return f"On the mean over pairs {titles[0]} is above every other method ({holm})."
    others = "any other method" if len(top) == len(compared) else listed(titles[1:])
    return f"On the mean over pairs {titles[0]} is highest, and not told apart from {others} ({holm})."
