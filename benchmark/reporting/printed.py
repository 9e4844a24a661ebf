"""The paper's printed numbers, read from `benchmark/paper.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PAPER = Path(__file__).parents[1] / "paper.toml"


@dataclass(frozen=True)
class Paper:
    """What the paper prints, in percent as text: by backbone, and by method and unordered branches.

    Attributes:
        dataset: the data set that the numbers are about.
        pairs: the order in which the paper prints pairs of backbones.
    """

    dataset: str
    backbones: dict[str, str]
    fusion: dict[tuple[str, frozenset[str]], str]
    pairs: list[frozenset[str]]


@cache
def read_paper() -> Paper:
    """Read the file once."""
    values = tomllib.loads(PAPER.read_text(encoding="utf-8"))
    fusion = {(row["method"], frozenset(row["backbones"])): row["printed"] for row in values["table2"]}
    return Paper(
        dataset=values["dataset"],
        backbones={row["backbone"]: row["printed"] for row in values["table1"]},
        fusion=fusion,
        pairs=list(dict.fromkeys(pair for _, pair in fusion)),
    )
