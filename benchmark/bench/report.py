"""The bench's figures as Markdown for people and a file for machines."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmark.ledger import write_text


def write(found: dict[str, Any], page: str, folder: Path) -> Path:
    """Write the figures into a JSON file that is named by when they were measured, and the page beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{found['measured'].replace(':', '').replace('+0000', 'Z')}.json"
    write_text(path, json.dumps(found, indent=1) + "\n")
    write_text(path.with_suffix(".md"), page)
    return path


def cpu_page(found: dict[str, Any]) -> str:
    """Return the figures as tables: every ratio with its smallest and largest of the repeats."""
    data = found["data"]
    head = (
        f"{found['device']}, {found['cores']} cores, torch {found['torch']}, {found['measured']}; {data['images']} "
        f"images of {data['image_size']} pixels ({data['name']}); {found['workers']} workers against the plain way, "
        f"n = {found['repeats']} turns of each, load {found['load_before']:.1f} before."
    )
    rows = [
        {
            "Work": figure["name"],
            "Gain": f"{figure['ratio']:.2f}x ({value_range(figure['ratios'], 2)})",
            "Suite /s": f"{figure['fast']:.4g}",
            "Plain /s": f"{figure['plain']:.4g}",
            "Unit": figure["unit"],
            "Suite GB": f"{figure['fast_memory'] / 1e9:.2f}",
            "Plain GB": f"{figure['plain_memory'] / 1e9:.2f}",
        }
        for figure in found["figures"]
    ]
    notes = [f"{figure['name']}: {figure['note']}." for figure in found["figures"] if figure["note"]]
    return joined([head, as_table(rows), "\n".join(notes), as_table(list(head_rows(found["heads"])))])


def head_rows(turns: Sequence[dict[str, dict[str, float]]]) -> Iterator[dict[str, str]]:
    """Yield a method's heads in a row: alone, in a stack, and the gain by turn."""
    for method in turns[0] if turns else ():
        own = [turn[method] for turn in turns]
        alone = statistics.median(turn["alone"] for turn in own)
        row = {"Heads on stored outputs": method, "Alone, images/s": f"{alone:.0f}"}
        if "stacked" not in own[0]:
            yield {**row, "Stacked, images/s": "cannot be stacked here"}
            continue
        ratios = [turn["stacked"] / turn["alone"] for turn in own]
        yield {
            **row,
            "Stacked, images/s": f"{statistics.median(turn['stacked'] for turn in own):.0f}",
            "In the stack": f"{own[0]['heads']:.0f}",
            "Gain": f"{statistics.median(ratios):.2f}x ({value_range(ratios, 2)})",
        }


def value_range(values: Sequence[float], digits: int = 0) -> str:
    """Return the smallest and the largest of several values."""
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}"


def as_table(rows: list[dict[str, str]]) -> str:
    """Return rows as a Markdown table ; nothing for no rows."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    values = [[row.get(column, "") for column in columns] for row in rows]
    return tabulate(values, headers=columns, tablefmt="github", disable_numparse=True) if rows else ""


def joined(parts: Sequence[str]) -> str:
    """Return the parts of a page that are there, a blank line between two."""
    return "\n\n".join(part for part in parts if part) + "\n"
