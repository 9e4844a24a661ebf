"""The families of comparisons that the protocol names, and what the tests say about each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np

from benchmark.config import Question, base_name
from benchmark.ledger import Record
from benchmark.reporting.accuracy import PAPER_METHODS
from benchmark.reporting.evidence import Evidence, Floats, Group
from benchmark.reporting.printed import read_paper
from benchmark.reporting.questions import PAPER, PRIMARY, exploratory, papers_family
from benchmark.statistics.bootstrap import correctness_difference, crossed_intervals
from benchmark.statistics.family import Comparison, compare_family
from benchmark.statistics.overlap import stretch
from benchmark.statistics.paired import Refusal
from benchmark.statistics.power import (
    Aim,
    minimum_detectable_difference,
    seeds_needed,
    seeds_needed_for_equivalence,
)
from benchmark.statistics.proportions import relative_error_reduction
from benchmark.statistics.verdicts import FEWEST_COMPARED, FEWEST_SEEDS, comparison_verdict
from benchmark.statistics.verdicts import Evidence as Basis

BEST_SINGLE = "best-single"
EXPLORATORY = ("per-pair", "among")


@dataclass(frozen=True)
class Protocol:
    """What is fixed before any number is looked at; margin in percentage points.

    `test_share` is the share of images in a test part where seeds test on parts of one data set, 0 where all test on
    the same images.
    """

    alpha: float = 0.05
    confidence: float = 0.95
    margin: float = 0.5
    n_resamples: int = 10_000
    generator_seed: int = 20_260_101
    test_share: float = 0.0

    def generator(self) -> np.random.Generator:
        """Return the generator of a report's resamples, the same for every report."""
        return np.random.default_rng(self.generator_seed)


PROTOCOL = Protocol()


@dataclass(frozen=True, eq=False)
class Contrast:
    """A comparison to make: method minus baseline.

    Attributes:
        delta: (S, N) difference in percentage points by seed and image, averaged over the pairs.
        accuracies: of method and baseline, as fractions.
        pair: None is the mean over pairs.
        baseline_pair: where two pairs of one method are compared.
        holm: what is corrected together with it, beside the family.
    """

    family: str
    method: str
    baseline: str
    delta: Floats
    accuracies: tuple[float, float]
    pair: Group | None = None
    baseline_pair: Group | None = None
    holm: str = ""


@dataclass(frozen=True, eq=False)
class Decision:
    """What the tests say of a contrast, in percentage points.

    Attributes:
        family_size: comparisons corrected together.
        detectable: smallest true difference that these seeds would have shown with the power aimed for.
        seeds_wanted: in all, for a verdict that is open; see `wanted_seeds`.
        flagged: whether the predictions of either depend on their batch.
    """

    contrast: Contrast
    test: Comparison
    crossed: tuple[float, float]
    verdict: str
    family_size: int
    detectable: float
    seeds_wanted: int | None
    flagged: bool

    @property
    def basis(self) -> Basis:
        """What the verdict rests on."""
        return basis_of(self.test, self.crossed)

    @property
    def more_seeds(self) -> int | None:
        """Seeds beyond those at hand that an open verdict needs; None where it is not open or none would do."""
        return None if self.seeds_wanted is None else max(1, self.seeds_wanted - self.test.paired.n_seeds)


def all_contrasts(evidence: Evidence) -> list[Contrast]:
    """Return the comparisons of every family, in the order of the report."""
    questions, paper = evidence.questions, read_paper().question
    beside = [paper] if papers_family(questions) == PAPER else []
    own = [method for method in evidence.methods if method not in {*PAPER_METHODS, *evidence.readings}]
    further = [Question(method=method, against=read_paper().simple) for method in own]
    asked = {question.method for question in questions}
    return [
        *_contrasts(PRIMARY, evidence, questions),
        *_contrasts(PAPER, evidence, beside),
        *(_contrast(BEST_SINGLE, evidence, method, BEST_SINGLE) for method in evidence.methods),
        *_contrasts("further", evidence, [question for question in further if question.method not in asked]),
        *_contrasts("among", evidence, exploratory(questions)),
        *reading_contrasts(evidence),
        *pair_contrasts(evidence),
        *best_pair_contrasts(evidence),
    ]


def run_baselines(evidence: Evidence, question: Question) -> list[str]:
    """Return the baselines of a question that were run; none where its method was not."""
    run = question.method in evidence.methods
    return [name for name in question.against if name in evidence.methods] if run else []


def reading_contrasts(evidence: Evidence) -> list[Contrast]:
    """Other readings of the attention formula against the default reading."""
    pairs = ((reading, base_name(reading)) for reading in evidence.readings)
    return [_contrast("readings", evidence, reading, base) for reading, base in pairs if base in evidence.methods]


def pair_contrasts(evidence: Evidence) -> list[Contrast]:
    """The comparisons of the first question pair by pair: exploratory."""
    if len(evidence.groups) < 2:
        return []
    question = evidence.questions[0]
    names = run_baselines(evidence, question)
    return [
        _contrast("per-pair", evidence, question.method, name, group) for name in names for group in evidence.groups
    ]


def best_pair_contrasts(evidence: Evidence) -> list[Contrast]:
    """The pair that the paper calls best for a method against the others that it prints for it."""
    groups = {frozenset(group): group for group in evidence.groups}
    found = []
    for claim in read_paper().claims:
        test = claim["test"]
        if test["family"] != "best-pair" or test["method"] not in evidence.methods:
            continue
        best, others = groups.get(frozenset(test["pair"])), [groups.get(frozenset(pair)) for pair in test["others"]]
        for other in others:
            if best and other:
                found.append(_pair_contrast(evidence, test["method"], best, other))
    return found


def _contrasts(family: str, evidence: Evidence, questions: Sequence[Question]) -> list[Contrast]:
    return [
        _contrast(family, evidence, question.method, baseline)
        for question in questions
        for baseline in run_baselines(evidence, question)
    ]


def _contrast(family: str, evidence: Evidence, method: str, baseline: str, pair: Group | None = None) -> Contrast:
    groups = [pair] if pair else None
    first = evidence.correct(method, groups)
    second = evidence.best_single() if baseline == BEST_SINGLE else evidence.correct(baseline, groups)
    delta = 100 * correctness_difference(first, second)
    return Contrast(family, method, baseline, delta, (float(first.mean()), float(second.mean())), pair)


def _pair_contrast(evidence: Evidence, method: str, best: Group, other: Group) -> Contrast:
    first, second = (evidence.correct(method, [group]) for group in (best, other))
    delta = 100 * correctness_difference(first, second)
    means = (float(first.mean()), float(second.mean()))
    return Contrast("best-pair", method, method, delta, means, best, other, holm=method)


def decide(contrasts: Sequence[Contrast], protocol: Protocol, flagged: set[str]) -> list[Decision]:
    """Test every contrast: Holm within its family, one crossed bootstrap for all."""
    if not contrasts:
        return []
    deltas = np.stack([contrast.delta for contrast in contrasts])
    crossed = None
    if not protocol.test_share:
        crossed = crossed_intervals(
            deltas, protocol.generator(), n_resamples=protocol.n_resamples, confidence=protocol.confidence
        )
    families: dict[tuple[str, str], list[int]] = {}
    for place, contrast in enumerate(contrasts):
        families.setdefault((contrast.family, contrast.holm), []).append(place)
    decisions: dict[int, Decision] = {}
    for places in families.values():
        tests = compare_seeds(deltas[places].mean(axis=2), protocol)
        aim = Aim(alpha=protocol.alpha / len(places))
        unit = minimum_detectable_difference(stretch(deltas.shape[1], protocol.test_share), deltas.shape[1], aim)
        for place, test in zip(places, tests, strict=True):
            # Drawn test parts vary the images too: the corrected t interval says what the crossed one would.
            interval = test.paired.interval if crossed is None else (float(crossed[place, 0]), float(crossed[place, 1]))
            contrast = contrasts[place]
            verdict = comparison_verdict(basis_of(test, interval), alpha=protocol.alpha)
            is_open = verdict == "inconclusive" and contrast.family not in EXPLORATORY
            decisions[place] = Decision(
                contrast=contrast,
                test=test,
                crossed=interval,
                verdict=verdict,
                family_size=len(places),
                detectable=unit * test.paired.sd,
                seeds_wanted=wanted_seeds(test, aim, protocol) if is_open else None,
                flagged=bool({contrast.method, contrast.baseline} & flagged),
            )
    return [decisions[place] for place in range(len(contrasts))]


def basis_of(test: Comparison, crossed: tuple[float, float]) -> Basis:
    """Return what a verdict rests on; the crossed interval is NaN where the images of a comparison are not known."""
    return Basis(test.paired.n_seeds, test.p_holm, test.paired.interval, crossed, test.equivalence_p)


def compare_seeds(differences: Floats, protocol: Protocol) -> list[Comparison]:
    """Test a family on its seeds alone, (K, S) differences in points."""
    return compare_family(
        differences,
        margin=protocol.margin,
        alpha=protocol.alpha,
        confidence=protocol.confidence,
        test_share=protocol.test_share,
    )


def wanted_seeds(test: Comparison, aim: Aim, protocol: Protocol) -> int | None:
    """Return how many seeds in all would bring a verdict with the power aimed for, were the observed difference true.

    The smaller of what a difference and what equality would take; None where neither comes, or with one seed.
    """
    mean, sd, share = test.paired.mean, test.paired.sd, protocol.test_share
    if isnan(sd):
        return None
    equality = seeds_needed_for_equivalence(mean, sd, protocol.margin, Aim(alpha=protocol.alpha), test_share=share)
    wanted = [n for n in (seeds_needed(mean, sd, aim, test_share=share), equality) if n is not None]
    return max(min(wanted), FEWEST_SEEDS if sd == 0 else FEWEST_COMPARED) if wanted else None


def to_json(decision: Decision) -> dict[str, Any]:
    """Write a decision in the public format; what is not there is null."""
    contrast, test = decision.contrast, decision.test
    refused = test.sign_flip if isinstance(test.sign_flip, Refusal) else None
    return {
        "family": contrast.family,
        "method": contrast.method,
        "baseline": contrast.baseline,
        "pair": contrast.pair,
        "baseline_pair": contrast.baseline_pair,
        "n_seeds": test.paired.n_seeds,
        "difference": test.paired.mean,
        "sd": test.paired.sd,
        "t_ci": test.paired.interval,
        "p_value": test.paired.p_value,
        "p_holm": test.p_holm,
        "family_size": decision.family_size,
        "p_sign_flip": None if isinstance(test.sign_flip, Refusal) else test.sign_flip.p_value,
        "sign_flip_refused": refused and str(refused),
        "crossed_ci": decision.crossed,
        "tost_p": test.equivalence_p,
        "relative_error_reduction": relative_error_reduction(*contrast.accuracies),
        "detectable_difference": decision.detectable,
        "more_seeds": decision.more_seeds,
        "batch_dependent": decision.flagged,
        "verdict": decision.verdict,
    }


def records_of(evidence: Evidence, method: str | None, group: Group) -> list[Record]:
    """Return the runs of a method on a group, whatever the order of its branches, by seed."""
    found = {frozenset(names): names for known, names, _ in evidence.records if known == method}
    names = found.get(frozenset(group))
    cells = [(method, names, seed) for seed in evidence.seeds] if names else []
    return [evidence.records[cell] for cell in cells if cell in evidence.records]
