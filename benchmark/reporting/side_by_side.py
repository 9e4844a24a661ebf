"""Two ledgers side by side: which cells differ by more than their noise over seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmark.analysis.evidence import by_cell
from benchmark.analysis.facts import SELECTION, in_order, test_share
from benchmark.analysis.paper import read_paper
from benchmark.config import UserError
from benchmark.ledger import Ledger, Record
from benchmark.reporting.accuracy import data_name
from benchmark.reporting.tables import Cell, Column, Table, name_cell, number_cell, spread_cell, spread_column
from benchmark.reporting.wording import counted, listed, p_value, points, signed_interval
from benchmark.statistics.comparison import can_decide
from benchmark.statistics.multiplicity import holm
from benchmark.statistics.paired import PairedTest, paired_t_test, stretched
from benchmark.statistics.unpaired import welch_t_test

ALPHA = 0.05
SHOWN = 6
CellName = tuple[str, tuple[str, ...]]
BySeed = dict[int, Record]


@dataclass(frozen=True)
class CellPair:
    """One cell of two ledgers: its runs by seed in each, and the test of first minus second, in percentage points.

    `test_shares` are those of the two ledgers, 0 where all seeds test on the same images.
    """

    name: CellName
    first: BySeed
    second: BySeed
    is_paired: bool
    test_shares: tuple[float, float] = (0.0, 0.0)

    @property
    def test(self) -> PairedTest:
        """Paired over the seeds where data, test parts and seeds are the same, Welch's test otherwise."""
        first, second = (np.array(_by_seed(runs)) for runs in (self.first, self.second))
        if self.is_paired:
            return paired_t_test(stretched(first - second, self.test_shares[0]))
        return welch_t_test(stretched(first, self.test_shares[0]), stretched(second, self.test_shares[1]))


def compare_ledgers(first: Ledger, second: Ledger) -> Table:
    """Return a row for every cell that both ledgers have, with difference, interval and verdict under one correction.

    Raises:
        UserError: they have no cell in common, or one has two runs of a cell.
    """
    cells_a, cells_b = _cells(first), _cells(second)
    common = [name for name in cells_a if name in cells_b]
    if not common:
        raise UserError(
            f"'{first.name}' and '{second.name}' have no method on the same networks in common; "
            "compare ledgers that share some"
        )
    same_data = _images(first) == _images(second)
    shares = test_share(first), test_share(second)
    pairs = [
        CellPair(name, cells_a[name], cells_b[name], same_data and cells_a[name].keys() == cells_b[name].keys(), shares)
        for name in common
    ]
    tests = [pair.test for pair in pairs]
    adjusted = [float(p) for p in holm([test.p_value for test in tests])]
    rows = [_row(pair, test, p) for pair, test, p in zip(pairs, tests, adjusted, strict=True)]
    decided = sum(row[-1].text in ("higher", "lower") for row in rows)
    title = (
        f"A beside B: {decided} of {counted(len(rows), 'cell')} differ beyond their noise; accuracy (%) on test, "
        "epoch selected on validation"
    )
    lonely = {"A": [n for n in cells_a if n not in cells_b], "B": [n for n in cells_b if n not in cells_a]}
    notes = [*_about(first, second), *_how(pairs), *_alone(lonely), *_changed_settings(first, second)]
    return Table("C", title, _columns(), rows, notes, grouped=True)


def _images(ledger: Ledger) -> tuple[str, ...]:
    """Return the digest of images and classes, whatever else was learnt of them, and how test parts were drawn."""
    data, drawn = ledger.experiment["dataset"], ledger.experiment["settings"].get("data", {})
    split = str(drawn.get("split", "official"))
    return (str(data.get("content", data["digest"])), split, str(drawn["test_folds"]) if split != "official" else "")


def _cells(ledger: Ledger) -> dict[CellName, BySeed]:
    """Return the runs of every cell by seed, backbones first and then the paper's methods."""
    found: dict[CellName, BySeed] = {}
    for (method, backbones, seed), record in by_cell(ledger).items():
        found.setdefault((method or "", backbones), {})[seed] = record
    methods = in_order(dict.fromkeys(method for method, _ in found), ["", *read_paper().methods])
    return {name: runs for method in methods for name, runs in found.items() if name[0] == method}


def _percent(record: Record) -> float:
    return 100 * record.metrics[SELECTION]["accuracy"]


def _by_seed(runs: BySeed) -> list[float]:
    return [_percent(runs[seed]) for seed in sorted(runs)]


def _columns() -> list[Column]:
    return [
        Column("method", "Method", ("method", "method_title"), kind="name"),
        Column("networks", "Networks", ("backbones", "networks"), kind="name"),
        spread_column("a", "A (%)"),
        Column("n_a", "n"),
        spread_column("b", "B (%)"),
        Column("n_b", "n"),
        Column("difference", "A - B (points)"),
        Column("interval", "95 % interval", ("interval_low", "interval_high"), gives_way=1),
        Column("p_holm", "p (Holm)", gives_way=2),
        Column("test", "Test", kind="word", gives_way=3),
        Column("verdict", "A is", kind="word"),
    ]


def _row(pair: CellPair, test: PairedTest, p_holm: float) -> list[Cell]:
    method, backbones = pair.name
    titles = next(iter(pair.first.values())).titles
    networks, spec = " + ".join(titles["backbones"]), " + ".join(backbones)
    has_spread = test.p_value == test.p_value
    return [
        name_cell(titles["method"] or "Alone", method or "backbones", titles["method"] or "Alone"),
        name_cell(networks, spec, networks),
        spread_cell(_by_seed(pair.first)),
        number_cell(len(pair.first), "d"),
        spread_cell(_by_seed(pair.second)),
        number_cell(len(pair.second), "d"),
        Cell(points(test.mean), (test.mean,)),
        Cell(signed_interval(test.interval), test.interval) if has_spread else Cell("", (None, None)),
        Cell(p_value(p_holm), (p_holm,)) if has_spread else Cell(),
        name_cell("paired" if pair.is_paired else "Welch"),
        name_cell(_verdict(pair, test, p_holm)),
    ]


def _verdict(pair: CellPair, test: PairedTest, p_holm: float) -> str:
    if pair.is_paired and all(_percent(pair.first[s]) == _percent(pair.second[s]) for s in pair.first):
        return "identical"
    if not can_decide(test.n_seeds, test.sd):
        return "open: too few seeds"
    if p_holm > ALPHA:
        return "no significant difference"
    return "higher" if test.mean > 0 else "lower"


def _about(first: Ledger, second: Ledger) -> list[str]:
    return [
        f"{letter} is experiment {ledger.name} on {data_name(ledger)}, digest "
        f"{ledger.experiment['dataset']['digest'][:12]}, profile {ledger.experiment['settings']['profile']}, "
        f"{listed(sorted({record.device for record in ledger.records}))}, "
        f"torch {listed(sorted({str(record.environment.get('torch', 'unknown')) for record in ledger.records}))}."
        for letter, ledger in (("A", first), ("B", second))
    ]


def _how(pairs: list[CellPair]) -> list[str]:
    paired = sum(pair.is_paired for pair in pairs)
    ways = {"paired t tests over seeds, since data and seeds are the same": paired}
    ways["Welch's t tests, since data or seeds are not the same"] = len(pairs) - paired
    used = [f"{counted(count, 'cell')} by {way}" for way, count in ways.items() if count]
    parts = any(share for pair in pairs for share in pair.test_shares)
    noise = (
        "Where each seed tests on its own part of the images, tests are corrected for the training images that the "
        "parts share (Nadeau and Bengio 2003)."
        if parts
        else "The noise is that of seeds, on these test images."
    )
    return [
        f"Tested: {'; '.join(used)}; Holm over all at level {ALPHA:g}. Intervals stand alone.",
        f"± is the sample standard deviation over n seeds (ddof = 1). {noise}",
    ]


def _alone(lonely: Mapping[str, list[CellName]]) -> Iterator[str]:
    for letter, names in lonely.items():
        if names:
            texts = [f"{method or 'alone'} on {' + '.join(backbones)}" for method, backbones in names[:SHOWN]]
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            yield f"Only in {letter}: {', '.join(texts)}{more}."


def _changed_settings(first: Ledger, second: Ledger) -> list[str]:
    """Say which settings are not the same."""
    a, b = (_flat({**ledger.experiment["settings"], **_versions(ledger)}) for ledger in (first, second))
    changed = [f"{name} ({a.get(name)}, {b.get(name)})" for name in {**a, **b} if a.get(name) != b.get(name)]
    if not changed:
        return ["The settings are the same."]
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    return [f"Settings that differ (A, B): {', '.join(changed[:SHOWN])}{more}."]


def _versions(ledger: Ledger) -> dict[str, str]:
    return {f"version of {name}": plugin["digest"] for name, plugin in ledger.experiment.get("plugins", {}).items()}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found.update(_flat(value, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = value
    return found
