"""Put the verdicts of `significance.json` into Tables 1 and 2."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmark.analysis.report import Report, Standing
from benchmark.reporting.tables import Cell, Table, name_cell
from benchmark.reporting.wording import counted, listed, title_of

FAMILY_OF = {1: "backbones", 2: "per_pair"}
UNTESTED = "Nothing is tested here yet: 'ferfuse report --experiment {}' tells which differences are real."


@dataclass(frozen=True)
class Family:
    """What was compared under one correction, and the top of each group of networks.

    Attributes:
        compared: names of the arms; whatever depends on the batch is not among them.
        tops: by group, empty for all of Table 1: the highest arm and those that do not differ significantly from it.
    """

    compared: list[str]
    comparisons: int
    tops: dict[frozenset[str], list[str]]

    @property
    def decides(self) -> bool:
        """Whether anything differs significantly from the highest."""
        return any(len(top) < len(self.compared) for top in self.tops.values())

    def standing(self, name: str, group: frozenset[str]) -> str | None:
        """Return "best", "tied" or "below"; None for one that is not compared, and for all where nothing is decided."""
        if not self.decides or name not in self.compared:
            return None
        top = self.tops[group]
        if name not in top:
            return "below"
        return "best" if len(top) == 1 else "tied"


def with_verdicts(table: Table, found: Report | None) -> Table:
    """Return Table 1 or 2 with the verdict on each printed number, the best in bold.

    Args:
        found: the report of the same ledger; None leaves the table as it is, and says so.
    """
    if found is None:
        return replace(table, notes=[*table.notes, UNTESTED.format(table.experiment)])
    number = int(table.number)
    family, printed = _family(found, FAMILY_OF[number]), _printed_verdicts(found, number)
    place = {column.key: index for index, column in enumerate(table.columns)}
    rows = []
    for row in table.rows:
        name, *networks = [str(cell.values[0]) for cell in row[: table.names] if cell.values[0]]
        judged = list(row)
        standing = family.standing(name, frozenset(networks))
        judged[place["accuracy"]] = _with_standing(row[place["accuracy"]], standing)
        judged[place["verdict"]] = _printed_cell(printed.get((name, frozenset(networks))))
        rows.append(judged)
    is_tested = number == 2 and family.comparisons and found.looks.current > 1
    verdict = _overall(found) if is_tested and len(found.pairs) > 1 else ""
    return replace(table, rows=rows, notes=[*table.notes, *_notes(found, family, number)], verdict=verdict)


def _family(found: Report, name: str) -> Family:
    values = found.standings.get(name, Standing(compared=[], comparisons=0, groups=[]))
    tops = {frozenset(group.pair or ()): group.top for group in values.groups}
    return Family(values.compared, values.comparisons, tops)


def _printed_verdicts(found: Report, number: int) -> dict[tuple[str | None, frozenset[str]], str]:
    """Return the verdicts on the numbers of a table by the names of its lines: a backbone, or method and networks."""
    rows = [row for row in found.printed if row.table == number]
    if number == 1:
        return {(name, frozenset()): row.verdict for row in rows for name in row.backbones or ()}
    return {(row.method, frozenset(row.backbones or ())): row.verdict for row in rows}


def _with_standing(cell: Cell, standing: str | None) -> Cell:
    mean, sd, _, depends = cell.values
    return replace(cell, values=(mean, sd, standing, depends), is_best=standing == "best")


def _printed_cell(verdict: str | None) -> Cell:
    """Return the verdict on a printed number; on other data there is none to be shown."""
    if verdict is None or verdict == "other data":
        return Cell("", (verdict,))
    return name_cell(verdict)


def _notes(found: Report, family: Family, number: int) -> list[str]:
    if family.comparisons == 0:
        return []
    if found.looks.current == 1:
        return ["One seed shows no spread: no difference is tested."]
    if not found.looks.reached:
        return [f"No difference is tested before {found.looks.current} seeds, as planned."]
    test = (
        f"paired t tests over {counted(found.looks.current, 'seed')}, Holm over "
        f"{counted(family.comparisons, 'comparison')} at level {found.looks.alpha:g}"
    )
    beside = "every other method on the same networks" if number == 2 else "every other backbone"
    notes = [
        f"Bold is significantly above {beside}: {test}."
        if any(len(top) == 1 for top in family.tops.values())
        else f"None is significantly above {beside}: {test}."
    ]
    if any(row.table == number and row.verdict != "other data" for row in found.printed):
        notes.append("The verdict is on the paper's value: whether one more run of ours could print it.")
    return notes


def _overall(found: Report) -> str:
    """Say which method leads on the mean over pairs."""
    family = found.standings["methods"]
    top, compared = family.groups[0].top, family.compared
    titles = [title_of(found, name) for name in top]
    if not found.looks.reached:
        planned = found.looks.current
        later = f"no difference is tested before {planned} seeds, as planned"
        return f"On the mean over pairs {titles[0]} is highest; {later}."
    if len(top) == 1:
        return f"On the mean over pairs {titles[0]} is significantly above every other method."
    others = "any other method" if len(top) == len(compared) else listed(titles[1:])
    return f"On the mean over pairs {titles[0]} is highest, with no significant difference from {others}."
