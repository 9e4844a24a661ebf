"""How an experiment's networks and methods did on other data sets, and whether the asked method is ahead there too."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from benchmark.analysis.comparisons import Contrast, Decision, decide, protocol_of
from benchmark.analysis.evidence import Bools, Group
from benchmark.analysis.facts import SELECTION, in_order
from benchmark.analysis.paper import read_paper
from benchmark.analysis.questions import questions_of
from benchmark.config import UserError
from benchmark.ledger import Ledger
from benchmark.statistics.crossed import correctness_difference


@dataclass(frozen=True, eq=False)
class Abroad:
    """A method, or a network alone, on one other data set.

    Attributes:
        dataset: what the other data set is called.
        classes, n_images: what both have in common, and test images of it.
        name: of the method or network; `asked` is the method whose gain the experiment is about.
        home, away: accuracy on test by seed, in percent, mean over groups, on its own data set and on the other.
        ahead: the asked method minus this one on the other data set; None for itself and for networks alone.
    """

    dataset: str
    classes: list[str]
    n_images: int
    name: str
    asked: str
    home: list[float]
    away: list[float]
    ahead: Decision | None = None


def abroad(ledger: Ledger) -> list[Abroad]:
    """Return a line for every network and method, by data set; those that lack runs there are left out.

    Raises:
        UserError: no run was asked about another data set.
    """
    if not ledger.transfers:
        raise UserError(
            f"experiment '{ledger.name}' was not asked about other data; `ferfuse transfer --experiment {ledger.name} "
            "--dataset NAME --data-root FOLDER` does"
        )
    sets = dict.fromkeys((one["title"], one["digest"]) for one in ledger.transfers)
    return [line for title, digest in sets for line in _of(ledger, title, digest)]


def _of(ledger: Ledger, title: str, digest: str) -> list[Abroad]:
    said = {one["run_id"]: one for one in ledger.transfers if (one["title"], one["digest"]) == (title, digest)}
    records = {(r.method, tuple(r.backbones), r.seed): r for r in ledger.records if r.run_id in said}
    seeds = sorted({seed for _, _, seed in records})
    asked, groups = questions_of(ledger.experiment)[0].method, [tuple(g) for g in ledger.experiment["main"]["groups"]]
    fused = dict.fromkeys(name for name, _, _ in records if name)
    networks = dict.fromkeys(group for name, group, _ in records if name is None)
    wanted: list[tuple[str, str | None, list[Group]]] = [(group[0], None, [group]) for group in networks]
    wanted += [(name, name, groups) for name in in_order(list(fused), read_paper().methods)]
    lines, right = [], {}
    first = next(iter(said.values()))
    for name, method, on in wanted:
        cells = [[(method, group, seed) for group in on] for seed in seeds]
        if any(cell not in records for row in cells for cell in row):
            continue
        runs = [[records[cell] for cell in row] for row in cells]
        home = [[100 * run.metrics[SELECTION]["accuracy"] for run in row] for row in runs]
        right[name] = np.array([[_bits(said[run.run_id]) for run in row] for row in runs])
        away = (100 * right[name].mean(axis=(1, 2))).tolist()
        about = (title, first["classes"], first["n_images"], name, asked)
        lines.append(Abroad(*about, np.mean(home, axis=1).tolist(), away))
    others = [line.name for line in lines if line.name in fused and line.name != asked]
    decided = decide([_contrast(asked, name, right) for name in others if asked in right], protocol_of(ledger), set())
    ahead = {one.contrast.baseline: one for one in decided}
    return [replace(line, ahead=ahead.get(line.name)) for line in lines]


def _contrast(asked: str, other: str, right: dict[str, Bools]) -> Contrast:
    means = (float(right[asked].mean()), float(right[other].mean()))
    return Contrast("transfer", asked, other, 100 * correctness_difference(right[asked], right[other]), means)


def _bits(found: dict[str, object]) -> Bools:
    digits = np.frombuffer(bytes.fromhex(str(found["right"])), np.uint8)
    return np.unpackbits(digits, count=int(str(found["n_images"]))).astype(bool)
