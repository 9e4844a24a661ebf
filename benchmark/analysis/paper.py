"""The paper's printed numbers, read from `benchmark/paper.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmark.config import Question

PAPER = Path(__file__).parents[1] / "paper.toml"


@dataclass(frozen=True)
class Paper:
    """What the paper prints, in percent as text: by backbone, and by method and unordered branches.

    Attributes:
        dataset: the data set that the numbers are about.
        title: the paper's own; `titles` are those of the backbones.
        pairs: the order in which the paper prints pairs of backbones.
        text: numbers that stand in the running text: (method, printed).
        claims: each with the test that decides it, as the file gives them.
        methods: in the order in which the paper prints them.
        question: what the paper asks; `simple` are the methods that every further one is set against.
        readings: methods whose formula the paper leaves open.
        control: the setting that marks a control arm; `controls` are the methods that Table 4 shows, with short titles.
        n_test, batch_size: of the printed numbers.
    """

    dataset: str
    backbones: dict[str, str]
    title: str
    titles: dict[str, str]
    fusion: dict[tuple[str, frozenset[str]], str]
    pairs: list[frozenset[str]]
    text: list[tuple[str, str]]
    claims: list[dict[str, Any]]
    methods: list[str]
    question: Question
    simple: list[str]
    readings: list[str]
    control: str
    controls: dict[str, str]
    n_test: int
    batch_size: int


@cache
def read_paper() -> Paper:
    """Read the file once."""
    values = tomllib.loads(PAPER.read_text(encoding="utf-8"))
    fusion = {(row["method"], frozenset(row["backbones"])): row["printed"] for row in values["table2"]}
    return Paper(
        dataset=values["dataset"],
        backbones={row["backbone"]: row["printed"] for row in values["table1"]},
        title=values["title"],
        titles={row["backbone"]: row["title"] for row in values["table1"]},
        fusion=fusion,
        pairs=list(dict.fromkeys(pair for _, pair in fusion)),
        text=[(row["method"], row["printed"]) for row in values["text"]],
        claims=values["claim"],
        methods=values["methods"],
        question=Question(**values["question"]),
        simple=values["simple"],
        readings=values["readings"],
        control=values["control"],
        controls=values["controls"],
        n_test=values["n_test"],
        batch_size=values["batch_size"],
    )
