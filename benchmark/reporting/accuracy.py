"""Tables 1 and 2: the accuracy of every backbone, and of every fusion method on every group of backbones."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.ledger import Ledger, Record
from benchmark.reporting.printed import read_paper
from benchmark.reporting.tables import Table

SELECTION = "validation_selected"
PAPER_METHODS = ("late", "early", "joint", "attention-fusion", "attention-fusion-without-local")
SPREAD_NOTE = "± is the sample standard deviation over n seeds (ddof = 1), not an interval."
BATCH_NOTE = "† Each prediction depends on the other images of its batch; evaluated in file order."


@dataclass(frozen=True)
class Row:
    """One line: what was run, its accuracy over seeds in percent, and what the paper prints for it.

    Attributes:
        group: title of the method, or None in a table of backbones.
        names: titles of the backbones.
        mean, sd: of test accuracy in percent; sd is the sample standard deviation (ddof = 1), None for one seed.
        n: number of seeds.
        printed: the paper's number as it prints it, None where it has none.
        batch_dependent: whether the method says, or the audit found, that predictions depend on the batch.
    """

    group: str | None
    names: tuple[str, ...]
    mean: float
    sd: float | None
    n: int
    printed: str | None
    batch_dependent: bool = False


def backbone_table(ledger: Ledger) -> Table:
    """Return Table 1."""
    rows = backbone_rows(ledger)
    body = [[row.names[0], *_numbers(row, is_comparable(ledger))] for row in rows]
    header = ["Model", "Accuracy (%)", "n", "Paper (%)"]
    return Table(1, title_line("Backbones alone", ledger, rows), header, body, _notes(ledger, rows), names=1)


def fusion_table(ledger: Ledger) -> Table:
    """Return Table 2."""
    rows = fusion_rows(ledger)
    branches = max((len(row.names) for row in rows), default=2)
    body = [
        [str(row.group), *row.names, *[""] * (branches - len(row.names)), *_numbers(row, is_comparable(ledger))]
        for row in rows
    ]
    header = ["Fusion method", *(f"Model {i + 1}" for i in range(branches)), "Accuracy (%)", "n", "Paper (%)"]
    title = title_line("Fusion methods", ledger, rows)
    return Table(2, title, header, body, _notes(ledger, rows), names=1 + branches, grouped=True)


def backbone_rows(ledger: Ledger) -> list[Row]:
    """Return a row for every backbone of the main comparison, the paper's first."""
    paper = read_paper()
    listed = ledger.experiment["main"]["backbones"]
    found: dict[str, list[Record]] = {}
    for record in ledger.of_kind("backbone"):
        if record.backbones[0] in listed:
            found.setdefault(record.backbones[0], []).append(record)
    return [_row(found[name], paper.backbones.get(name)) for name in in_order(found, [*paper.backbones, *listed])]


def fusion_rows(ledger: Ledger) -> list[Row]:
    """Return a row for every method and group of the main comparison, in the paper's order and then as asked for.

    Runs of arms, such as a shuffled partner, belong to the tables that are about them.
    """
    paper, main = read_paper(), ledger.experiment["main"]
    dependent = batch_dependent_methods(ledger)
    found: dict[tuple[str, tuple[str, ...]], list[Record]] = {}
    for record in ledger.of_kind("fusion"):
        if record.method in main["methods"] and record.backbones in main["groups"]:
            found.setdefault((str(record.method), tuple(record.backbones)), []).append(record)
    methods = in_order(dict.fromkeys(method for method, _ in found), [*PAPER_METHODS, *main["methods"]])
    groups = in_order(dict.fromkeys(group for _, group in found), paper.pairs, key=frozenset)
    return [
        _row(found[method, group], paper.fusion.get((method, frozenset(group))), method in dependent)
        for method in methods
        for group in groups
        if (method, group) in found
    ]


def batch_dependent_methods(ledger: Ledger) -> set[str]:
    """Return the methods that declare a dependence on their batch, or that the audit found to have one."""
    declared = {str(record.method) for record in ledger.of_kind("fusion") if record.batch_dependent}
    return declared | {finding["method"] for finding in ledger.audit if finding["verdict"].startswith("depends")}


def in_order(items: Any, first: Sequence[Any], key: Callable[[Any], Any] = lambda item: item) -> list[Any]:
    """Return items in the order of `first`, those it does not hold after them as they come."""
    rank: dict[Any, int] = {}
    for position, item in enumerate(first):
        rank.setdefault(item, position)
    return sorted(items, key=lambda item: rank.get(key(item), len(rank)))


def mean_and_spread(percent: Sequence[float]) -> str:
    """Write mean ± sample standard deviation, the mean alone where there is one value."""
    spread = f" ± {statistics.stdev(percent):.2f}" if len(percent) > 1 else ""
    return f"{statistics.fmean(percent):.2f}{spread}"


def percent_by_seed(seeds: Sequence[int], fractions: Sequence[float]) -> list[float]:
    """Return, for each seed in order, the mean in percent of the fractions that belong to it."""
    found: dict[int, list[float]] = {}
    for seed, value in zip(seeds, fractions, strict=True):
        found.setdefault(seed, []).append(100 * value)
    return [statistics.fmean(values) for _, values in sorted(found.items())]


def title_line(what: str, ledger: Ledger, rows: Sequence[Row]) -> str:
    """Return the line that names content, data, profile, seeds and selection."""
    counts = sorted({row.n for row in rows})
    seeds = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}" if counts else "0"
    return (
        f"{what}: test accuracy on {data_name(ledger)} ({sum(ledger.experiment['dataset']['images']['test'])} test "
        f"images), profile {ledger.experiment['settings']['profile']}, {seeds} seed{'s' if seeds != '1' else ''}, "
        "epoch selected on validation"
    )


def data_name(ledger: Ledger) -> str:
    """Return the data set's title, with a warning where its images are drawn."""
    data = ledger.experiment["dataset"]
    return f"{data['title']} (SYNTHETIC, drawn images)" if data["synthetic"] else str(data["title"])


def is_comparable(ledger: Ledger) -> bool:
    """Tell whether the paper's numbers are about the same data."""
    return bool(ledger.experiment["dataset"]["name"] == read_paper().dataset)


def _row(records: Sequence[Record], printed: str | None, batch_dependent: bool = False) -> Row:
    accuracy = [100 * record.metrics[SELECTION]["accuracy"] for record in records]
    titles = records[0].titles
    return Row(
        group=titles["method"],
        names=tuple(titles["backbones"]),
        mean=statistics.fmean(accuracy),
        sd=statistics.stdev(accuracy) if len(accuracy) > 1 else None,
        n=len(accuracy),
        printed=printed,
        batch_dependent=batch_dependent,
    )


def _numbers(row: Row, comparable: bool) -> list[str]:
    spread = f" ± {row.sd:.2f}" if row.sd is not None else ""
    mark = " †" if row.batch_dependent else ""
    paper = f"{row.printed}{'' if comparable else ' *'}" if row.printed else ""
    return [f"{row.mean:.2f}{spread}{mark}", str(row.n), paper]


def _notes(ledger: Ledger, rows: Sequence[Row]) -> list[str]:
    notes = [SPREAD_NOTE]
    if not is_comparable(ledger) and any(row.printed for row in rows):
        title = ledger.experiment["dataset"]["title"]
        notes.append(f"* The paper's number is about RAF-DB; it cannot be compared with one on {title}.")
    if any(row.batch_dependent for row in rows):
        notes.append(BATCH_NOTE)
    return notes
