"""The families of comparisons that the protocol names, and what the tests say about each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.analysis.evidence import Evidence, Floats, Group
from benchmark.analysis.paper import read_paper
from benchmark.analysis.questions import PAPER, PRIMARY, exploratory, papers_family
from benchmark.analysis.report import Advice, Compared, Noise
from benchmark.config import Question, base_name
from benchmark.ledger import Ledger, Record
from benchmark.statistics.comparison import Comparison, Protocol, compare_differences
from benchmark.statistics.crossed import correctness_difference
from benchmark.statistics.proportions import relative_error_reduction

BEST_SINGLE = "best-single"


@dataclass(frozen=True, eq=False)
class Contrast:
    """A comparison to make: method minus baseline.

    Attributes:
        delta: (S, N) difference in percentage points by seed and image, averaged over the pairs.
        accuracies: of method and baseline, as fractions.
        pair: None is the mean over pairs.
        baseline_pair: where two pairs of one method are compared.
        shares: what shares the level with it, beside the family.
    """

    family: str
    method: str
    baseline: str
    delta: Floats
    accuracies: tuple[float, float]
    pair: Group | None = None
    baseline_pair: Group | None = None
    shares: str = ""


@dataclass(frozen=True, eq=False)
class Decision:
    """What the tests say of a contrast.

    Attributes:
        family_size: comparisons that share the level.
        batch_dependent: whether the predictions of either depend on their batch.
        all_seeds: mean difference over every seed at hand, also those beyond the look that the verdict is given at.
    """

    contrast: Contrast
    test: Comparison
    family_size: int
    batch_dependent: bool
    all_seeds: float


def protocol_of(ledger: Ledger, test_share: float = 0.0) -> Protocol:
    """Return the protocol that an experiment was planned with; older ones planned one look, at their seeds."""
    settings = ledger.experiment["settings"]
    planned = settings.get("statistics", {})
    plan = planned.get("looks") or [settings["seeds"]]
    return Protocol(margin=planned.get("margin", Protocol.margin), looks=tuple(plan), test_share=test_share)


def all_contrasts(evidence: Evidence) -> list[Contrast]:
    """Return the comparisons of every family, in the order of the report."""
    questions, paper = evidence.questions, read_paper().question
    beside = [paper] if papers_family(questions) == PAPER else []
    own = [method for method in evidence.methods if method not in {*read_paper().methods, *evidence.readings}]
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
    return Contrast("best-pair", method, method, delta, means, best, other, shares=method)


def decide(contrasts: Sequence[Contrast], protocol: Protocol, flagged: set[str]) -> list[Decision]:
    """Compare every contrast under the level that its family shares."""
    sizes = Counter((contrast.family, contrast.shares) for contrast in contrasts)
    found = []
    for contrast in contrasts:
        size, depends = sizes[contrast.family, contrast.shares], bool({contrast.method, contrast.baseline} & flagged)
        test = compare_differences(contrast.delta, protocol, comparisons=size, batch_dependent=depends)
        found.append(Decision(contrast, test, size, depends, float(contrast.delta.mean())))
    return found


def compare_seeds(differences: Floats, protocol: Protocol) -> list[Comparison]:
    """Compare a family on its seeds alone, (K, S) differences in points: verdicts are those of this test set."""
    return [compare_differences(row, protocol, comparisons=len(differences)) for row in differences]


def reported(decision: Decision) -> Compared:
    """Return what the report says of a comparison."""
    contrast, test = decision.contrast, decision.test
    low, high = test.bounds
    seeds, images, rest = test.noise
    return Compared(
        family=contrast.family,
        method=contrast.method,
        baseline=contrast.baseline,
        pair=contrast.pair,
        baseline_pair=contrast.baseline_pair,
        n_seeds=test.n_seeds,
        difference=test.mean,
        difference_all_seeds=decision.all_seeds,
        sd=test.sd,
        seeds_interval=test.seeds_interval,
        images_interval=test.images_interval,
        p_adjusted=test.p_adjusted,
        family_size=decision.family_size,
        gain_excluded_above=high,
        loss_excluded_below=low,
        relative_error_reduction=relative_error_reduction(*contrast.accuracies),
        detectable_difference=test.detectable,
        advice=Advice(**vars(test.advice)) if test.advice else None,
        noise=Noise(seeds=seeds, images=images, rest=rest),
        chance_above=test.chance_above,
        chance_gain=test.chance_gain,
        batch_dependent=decision.batch_dependent,
        verdict=test.verdict,
    )


def records_of(evidence: Evidence, method: str | None, group: Group) -> list[Record]:
    """Return the runs of a method on a group, whatever the order of its branches, by seed."""
    found = {frozenset(names): names for known, names, _ in evidence.records if known == method}
    names = found.get(frozenset(group))
    cells = [(method, names, seed) for seed in evidence.seeds] if names else []
    return [evidence.records[cell] for cell in cells if cell in evidence.records]
