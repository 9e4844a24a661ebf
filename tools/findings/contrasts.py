"""Differences that the verdicts leave out: one evaluation order against another, fusion against its control arms.

Each is a paired comparison over seeds of the mean over pairs, with intervals that hold for its list together. Seeds
alone decide here, so that the strongest words are those of this test set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmark.analysis.comparisons import compare_seeds
from benchmark.analysis.facts import SELECTION, in_order, may_be_read
from benchmark.analysis.paper import read_paper
from benchmark.analysis.report import Interval, Maybe, Number, Part, Report
from benchmark.ledger import Ledger, Record
from benchmark.reporting.readings import ORDERS
from benchmark.reporting.wording import group_of, title_of
from benchmark.statistics.comparison import Protocol

Group = tuple[str, ...]
Cells = dict[tuple[int, Group], float]
SHUFFLED = ":partner=shuffled"


@dataclass(frozen=True)
class Contrast:
    """A difference to be tested: `first` minus `second`, by seed, in percentage points."""

    about: str
    method: str
    first: str
    second: str
    differences: list[float]


class Answer(Part):
    """What the seeds say of a contrast: `first` minus `second`, in percentage points."""

    about: str
    method: str
    first: str
    second: str
    n_seeds: int
    difference: Number
    sd: Maybe
    seeds_interval: Interval
    p_adjusted: Maybe
    family_size: int
    verdict: str


class Orders(Part):
    """What a reading scores by evaluation order, and the share of images whose predicted class changes, in percent."""

    method: str
    accuracy: dict[str, Number]
    changed: Number
    depends: bool
    batch_sizes: list[int]


def protocol_of(found: Report) -> Protocol:
    """Return the protocol of verdicts that are written."""
    kept = found.protocol
    return Protocol(kept.alpha, kept.margin, tuple(found.looks.planned), kept.test_share or 0.0)


def answered(contrasts: Sequence[Contrast], protocol: Protocol) -> list[Answer]:
    """Test contrasts under one correction; those of other seeds than the first's are a list of their own."""
    by_seeds: dict[int, list[Contrast]] = {}
    for contrast in contrasts:
        by_seeds.setdefault(len(contrast.differences), []).append(contrast)
    rows: dict[int, Answer] = {}
    for members in by_seeds.values():
        tests = compare_seeds(np.array([member.differences for member in members]), protocol)
        for member, test in zip(members, tests, strict=True):
            rows[id(member)] = Answer(
                about=member.about,
                method=member.method,
                first=member.first,
                second=member.second,
                n_seeds=test.n_seeds,
                difference=test.mean,
                sd=test.sd,
                seeds_interval=test.seeds_interval,
                p_adjusted=test.p_adjusted,
                family_size=len(members),
                verdict=test.verdict,
            )
    return [rows[id(contrast)] for contrast in contrasts]


def evaluation_orders(ledger: Ledger) -> list[Orders]:
    """Return what the audit found of every reading of the attention: mean accuracy in percent by order, and whether it
    depends on the batch; a mean over the main comparison's pairs and seeds."""
    rows = []
    for method, findings in _audited(ledger).items():
        means = {order: 100 * float(np.mean([finding["accuracy"][order] for finding in findings])) for order in ORDERS}
        changed = 100 * float(np.mean([max(finding["changed"].values()) for finding in findings]))
        depends = any(finding["verdict"].startswith("depends") for finding in findings)
        size = {finding["batch_size"] for finding in findings}
        rows.append(Orders(method=method, accuracy=means, changed=changed, depends=depends, batch_sizes=sorted(size)))
    return rows


def order_contrasts(ledger: Ledger) -> list[Contrast]:
    """Return every other order against the shuffled one, for each reading whose predictions depend on the batch."""
    contrasts = []
    for method, findings in _audited(ledger).items():
        if any(finding["verdict"].startswith("depends") for finding in findings):
            shuffled = _cells(findings, "shuffled")
            for order in ("file_order", "sorted_by_class", "one_by_one"):
                gaps = _by_seed(_cells(findings, order), shuffled)
                words = ORDERS[order].lower(), ORDERS["shuffled"].lower()
                contrasts.append(Contrast(order, method, *words, gaps))
    return contrasts


def reading_contrasts(ledger: Ledger, found: Report) -> list[Contrast]:
    """Return each reading that depends on the batch against its method's default one: in file order, and shuffled."""
    audited = _audited(ledger)
    contrasts = []
    for method, findings in audited.items():
        base = method.partition(":")[0]
        if base in audited and method != base and any(f["verdict"].startswith("depends") for f in findings):
            for order in ("file_order", "shuffled"):
                gaps = _by_seed(_cells(findings, order), _cells(audited[base], order))
                if gaps:
                    contrasts.append(Contrast(order, method, title_of(found, method), title_of(found, base), gaps))
    return contrasts


def control_contrasts(ledger: Ledger, found: Report) -> list[Contrast]:
    """Return fusion against its control arms: a shuffled partner, the same network twice, one larger network."""
    runs: dict[tuple[str | None, Group], list[Record]] = {}
    for record in ledger.records:
        runs.setdefault((record.method, tuple(record.backbones)), []).append(record)
    methods = [method for method in found.methods if method not in found.batch_dependent]
    return [
        *_shuffled_partners(runs, found.pairs, methods, found),
        *_twins(runs, found.pairs, methods, found),
        *_larger_networks(ledger, runs, found.pairs, methods, found),
    ]


Runs = dict[tuple[str | None, Group], list[Record]]


def _shuffled_partners(runs: Runs, groups: list[Group], methods: list[str], found: Report) -> list[Contrast]:
    contrasts = []
    for method in methods:
        own = [group for group in groups if (method, group) in runs and (method + SHUFFLED, group) in runs]
        if own:
            gaps = _between(_mean(runs, method, own), _mean(runs, method + SHUFFLED, own))
            title = title_of(found, method)
            words = title, f"{title} with the second network asked about another image"
            contrasts.append(Contrast("shuffled partner", method, *words, gaps))
    return contrasts


def _twins(runs: Runs, groups: list[Group], methods: list[str], found: Report) -> list[Contrast]:
    contrasts = []
    for twin in _twin_groups(runs, groups):
        name = twin[0].partition("#")[0]
        with_name = [group for group in groups if name in group]
        for method in methods:
            own = [group for group in with_name if (method, group) in runs]
            if own and (method, twin) in runs:
                gaps = _between(_mean(runs, method, own), _mean(runs, method, [twin]))
                title, network = title_of(found, method), title_of(found, name)
                words = f"{title} of {network} and another network", f"{title} of {network} twice"
                contrasts.append(Contrast("same network twice", method, *words, gaps))
    return contrasts


def _larger_networks(
    ledger: Ledger, runs: Runs, groups: list[Group], methods: list[str], found: Report
) -> list[Contrast]:
    fused = {name for method, group in runs if method for name in group}
    listed = {*ledger.experiment["main"]["backbones"], *fused}
    single = [group for method, group in runs if method is None and len(group) == 1 and group[0] not in listed]
    own = groups or _twin_groups(runs, groups)
    return [
        Contrast(
            "one larger network",
            method,
            f"{title_of(found, method)} of two networks",
            f"{group_of(found, network)} alone",
            _between(_mean(runs, method, own), _mean(runs, None, [network])),
        )
        for network in dict.fromkeys(single)
        for method in methods
        if method == read_paper().question.method and all((method, group) in runs for group in own)
    ]


def _twin_groups(runs: Runs, groups: list[Group]) -> list[Group]:
    pairs = dict.fromkeys(group for method, group in runs if method and len(group) == 2 and group not in groups)
    return [(first, second) for first, second in pairs if first.partition("#")[0] == second.partition("#")[0]]


def _mean(runs: Runs, method: str | None, groups: list[Group]) -> dict[int, float]:
    """Return the mean accuracy in percent over groups, by seed."""
    found: dict[int, list[float]] = {}
    for group in groups:
        for record in runs[method, group]:
            found.setdefault(record.seed, []).append(100 * record.metrics[SELECTION]["accuracy"])
    return {seed: float(np.mean(values)) for seed, values in found.items() if len(values) == len(groups)}


def _between(first: dict[int, float], second: dict[int, float]) -> list[float]:
    return [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]


def _audited(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    """Return the audit's findings of the attention family on the groups of the main comparison, default first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in ledger.audit:
        in_main = finding["backbones"] in ledger.experiment["main"]["groups"]
        if in_main and may_be_read(finding["method"]):
            found.setdefault(finding["method"], []).append(finding)
    return {method: found[method] for method in in_order(found, read_paper().readings)}


def _cells(findings: Sequence[dict[str, Any]], order: str) -> Cells:
    return {(one["seed"], tuple(one["backbones"])): 100 * one["accuracy"][order] for one in findings}


def _by_seed(first: Cells, second: Cells) -> list[float]:
    """Return the mean difference over the groups that both have, by seed."""
    found: dict[int, list[float]] = {}
    for seed, group in sorted(first.keys() & second.keys()):
        found.setdefault(seed, []).append(first[seed, group] - second[seed, group])
    return [float(np.mean(found[seed])) for seed in sorted(found)]
