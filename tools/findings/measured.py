"""Times that were measured once, with the command, the machine and the day: what documents say of them comes from here.

In a document, `<!-- measured: reproduce -->7 minutes<!-- /measured -->` shows the value of that name.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from benchmark.config import UserError, nearest

FILE = "measured.json"
MARKED = re.compile(r"(<!-- measured: (\S+) -->)(.*?)(<!-- /measured -->)", re.DOTALL)


@dataclass(frozen=True)
class Measured:
    """One measured figure: what the command took on a machine, on a day (YYYY-MM-DD)."""

    value: float
    unit: str
    command: str
    hardware: str
    date: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.value:g} {self.unit}"


def read_measured(folder: Path) -> dict[str, Measured]:
    """Read `measured.json` of a folder of reference ledgers; empty where there is none.

    Raises:
        UserError: it is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        return {name: Measured(**values) for name, values in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}); an entry has value, unit, command, hardware, date") from error


def fill_measured(text: str, known: dict[str, Measured]) -> str:
    """Return a document with every marked figure as it is measured.

    Raises:
        UserError: a marked figure that was not measured.
    """

    def filled(found: re.Match[str]) -> str:
        if found[2] not in known:
            raise UserError(f"no measured figure '{found[2]}' in {FILE}; {nearest(found[2], list(known))}")
        return f"{found[1]}{known[found[2]]}{found[4]}"

    return MARKED.sub(filled, text)
