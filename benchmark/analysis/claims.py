"""The paper's printed numbers and claims beside what the runs give."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import Any

import numpy as np

from benchmark.analysis.comparisons import (
    Decision,
    Protocol,
    records_of,
)
from benchmark.analysis.evidence import Evidence
from benchmark.analysis.facts import RULES, SELECTION
from benchmark.analysis.paper import read_paper
from benchmark.analysis.questions import PAPER, papers_family
from benchmark.analysis.report import BesidePrinted, Claim, Optimism, Ours, PrintedNumber
from benchmark.ledger import Record
from benchmark.statistics.paired import sample_sd
from benchmark.statistics.prediction import prediction_interval
from benchmark.statistics.proportions import (
    attainable_accuracy,
    attainable_batch_average,
    printed_value,
    wilson_interval,
)
from benchmark.statistics.verdicts import NOT_YET, claim_verdict, printed_verdict

# Table, method, networks, and the number as it stands there.
Printed = tuple[int | str, str | None, tuple[str, ...] | None, str]


def is_papers_data(evidence: Evidence) -> bool:
    """Tell whether data set and number of test images are those of the printed numbers."""
    paper = read_paper()
    return (evidence.ledger.experiment["dataset"]["name"], evidence.n_images) == (paper.dataset, paper.n_test)


def printed_numbers(evidence: Evidence, protocol: Protocol) -> list[PrintedNumber]:
    """Return every printed number with what it can be, our prediction interval and the verdict."""
    paper = read_paper()
    numbers: list[Printed] = [(1, None, (name,), printed) for name, printed in paper.backbones.items()]
    numbers += [(2, method, tuple(sorted(group)), printed) for (method, group), printed in paper.fusion.items()]
    numbers += [("text", method, None, printed) for method, printed in paper.text]
    return [_printed_number(evidence, protocol, number) for number in numbers]


def _printed_number(evidence: Evidence, protocol: Protocol, number: Printed) -> PrintedNumber:
    """Return a printed number with the noise of the test set around it, and what it can be an average of.

    The verdict is that under the protocol; those under each other selection rule and reading are beside it.
    """
    paper = read_paper()
    table, method, backbones, printed = number
    low, high = wilson_interval(printed_value(printed)[0] / 100, paper.n_test)
    (_, _, first), *otherwise = [
        (name, rule, _ours(evidence, protocol, (name, backbones, rule), printed))
        for name in (method, *(evidence.readings if method == paper.question.method else ()))
        for rule in RULES
    ]
    return PrintedNumber(
        table=table,
        method=method,
        backbones=backbones and _as_run(evidence, method, backbones),
        printed=printed,
        wilson=(100 * low, 100 * high),
        attainable=attainable_accuracy(printed, paper.n_test),
        attainable_as_batch_average=attainable_batch_average(printed, paper.n_test, paper.batch_size),
        otherwise=[BesidePrinted(method=name, selection=rule, **vars(ours)) for name, rule, ours in otherwise],
        **vars(first),
    )


def _ours(
    evidence: Evidence, protocol: Protocol, what: tuple[str | None, tuple[str, ...] | None, str], printed: str
) -> Ours:
    """Compare one printed number with one (method, backbones, rule).

    Where the text does not tell the pair, the interval runs from the lowest to the highest end over the pairs that the
    paper prints for the method.
    """
    method, backbones, rule = what
    wanted = (
        [backbones] if backbones else [tuple(g) for m, g in read_paper().fusion if m == read_paper().question.method]
    )
    runs = [found for group in wanted if (found := records_of(evidence, method, group))]
    values = [[100 * record.metrics[rule]["accuracy"] for record in found] for found in runs]
    intervals = [prediction_interval(row, confidence=1 - protocol.alpha) for row in values]
    interval = (min(low for low, _ in intervals), max(high for _, high in intervals)) if intervals else (nan, nan)
    return Ours(
        ours=float(np.mean([np.mean(row) for row in values])) if values else None,
        n_seeds=min(map(len, runs), default=0),
        prediction_interval=interval,
        verdict=printed_verdict(printed, interval, protocol.margin, same_data=is_papers_data(evidence)),
    )


def _as_run(evidence: Evidence, method: str | None, backbones: tuple[str, ...]) -> tuple[str, ...]:
    found: Sequence[Record] = records_of(evidence, method, backbones)
    return tuple(found[0].backbones) if found else backbones


def claims(evidence: Evidence, decisions: Sequence[Decision]) -> list[Claim]:
    """Return for every claim whether these data show it, exclude it, or leave it possible."""
    return [_claim(claim, evidence, decisions) for claim in read_paper().claims]


def _claim(claim: dict[str, Any], evidence: Evidence, decisions: Sequence[Decision]) -> Claim:
    test = claim["test"]
    family = papers_family(evidence.questions) if test["family"] == PAPER else test["family"]
    own = [d for d in decisions if (d.contrast.family, d.contrast.method) == (family, test["method"])]
    found = {_against(decision): decision for decision in own}
    if test["family"] == "best-pair":
        wanted = [(test["method"], frozenset(test["pair"]), frozenset(other)) for other in test["others"]]
        pairs = [test["pair"], *test["others"]]
        not_run = [" + ".join(pair) for pair in pairs if not records_of(evidence, test["method"], tuple(pair))]
    else:
        wanted = [(name, frozenset(), frozenset()) for name in test["baselines"]]
        not_run = [key[0] for key in wanted if key not in found]
    decisions = [found[key] for key in wanted if key in found]
    verdict = claim_verdict([decision.test.bounds for decision in decisions], test.get("size"))
    if any(decision.test.verdict == NOT_YET for decision in decisions):
        verdict = "possible"
    if verdict == "shown" and (len(decisions) < len(wanted) or any(one.batch_dependent for one in decisions)):
        verdict = "possible"  # images are no units where predictions depend on their batch
    return Claim(
        id=claim["id"],
        statement=claim["statement"],
        method=test["method"],
        verdict=verdict,
        size=test.get("size"),
        not_run=not_run,
    )


def _against(decision: Decision) -> tuple[str, frozenset[str], frozenset[str]]:
    contrast = decision.contrast
    return contrast.baseline, frozenset(contrast.pair or ()), frozenset(contrast.baseline_pair or ())


def selection_optimism(evidence: Evidence) -> dict[str, Optimism]:
    """Return, by method, what choosing the epoch on the test images adds to validation-selected accuracy, in points.

    The mean over pairs by seed, with its spread over seeds. It cannot be below zero: no interval, no test.
    """
    found = {}
    for method in [*evidence.methods, *evidence.readings]:
        gain = (evidence.metric(method, "best_test_epoch") - evidence.metric(method, SELECTION)).mean(axis=0)
        sd = sample_sd(gain) if gain.size > 1 else nan
        found[method] = Optimism(difference=float(gain.mean()), sd=sd, n_seeds=gain.size)
    return found
