"""Give the verdict on results from anywhere: the comparisons of a ledger, as far as the evidence goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from benchmark.analysis.comparisons import BEST_SINGLE, Decision, all_contrasts, decide, protocol_of
from benchmark.analysis.evidence import read_evidence
from benchmark.analysis.outside import Evidence, evidence_of
from benchmark.analysis.paper import read_paper
from benchmark.config import UserError, nearest
from benchmark.ledger import Ledger
from benchmark.statistics.comparison import Comparison, Protocol, compare_differences, compare_unpaired
from benchmark.statistics.mcnemar import McNemarTest, mcnemar_test
from benchmark.statistics.proportions import (
    attainable_accuracy,
    attainable_batch_average,
    printed_value,
    wilson_interval,
)
from benchmark.statistics.verdicts import over_data_sets

SHARED = 3  # seeds in common, from which they are paired


@dataclass(frozen=True, eq=False)
class Judged:
    """A method against one baseline on one data set.

    Attributes:
        accuracies: of method and baseline, in percent, mean over seeds.
        seeds: of method and baseline.
        paired: whether seeds were matched.
        test: intervals and verdict; None where each has one run.
        models: McNemar's test of the two trained models, where each has one run with predictions.
    """

    dataset: str
    method: str
    baseline: str
    accuracies: tuple[float, float]
    seeds: tuple[int, int]
    paired: bool
    test: Comparison | None
    models: McNemarTest | None = None


@dataclass(frozen=True, eq=False)
class Judgement:
    """The verdict on what was given.

    Attributes:
        rows: one for each data set and baseline.
        over_sets: by baseline, on how many of several data sets the method is better.
        looks: planned numbers of seeds by data set, where each has a plan of its own.
        n_sets: data sets, where several experiments may be on one.
        notes: how the evidence was read and what it cannot tell.
    """

    method: str
    rows: list[Judged]
    protocol: Protocol
    over_sets: dict[str, Literal["all", "some", "none"]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    looks: dict[str, tuple[int, ...]] = field(default_factory=dict)
    n_sets: int | None = None


@dataclass(frozen=True)
class Printed:
    """What two printed accuracies alone can say, in percent and points.

    Attributes:
        attainable, as_batches: whether each is a share of N images, or a mean over batches of 48.
        wilson: interval of each for the noise of N images.
        difference, interval: and its 95 % interval for the noise of two samples of N images.
        best_of_ten: by how much the best of ten runs is expected to lie above their mean, were runs as noisy as images.
    """

    printed: tuple[str, str]
    n_images: int
    attainable: tuple[str, str]
    as_batches: tuple[str, str]
    wilson: tuple[tuple[float, float], tuple[float, float]]
    difference: float
    interval: tuple[float, float]
    best_of_ten: float


def judge(
    frame: pd.DataFrame,
    method: str | None = None,
    against: Sequence[str] | None = None,
    *,
    margin: float = 0.5,
    looks: Sequence[int] | None = None,
) -> Judgement:
    """Give the verdict on a table of predictions or accuracies.

    Args:
        frame: columns method, seed, image_id, label, prediction (or logit_0, logit_1, …), and as they are known setting
            (a pair of networks, averaged over), group (the person shown) and dataset; or method, seed, accuracy.
        method: whose gain is asked about; the first that is given.
        against: baselines, which share the level; all others where left out.
        margin: largest difference in points that counts as none.
        looks: planned numbers of seeds; see docs/statistics.md.

    Raises:
        UserError: what is wrong with the table, in one line.

    Example:
        >>> import pandas as pd
        >>> rows = [("mine", s, 90 + s % 3) for s in range(10)] + [("late", s, 85 + s % 2) for s in range(10)]
        >>> judge(pd.DataFrame(rows, columns=["method", "seed", "accuracy"])).rows[0].test.verdict
        'better on this test set'
    """
    found = evidence_of(frame)
    name = method or next(iter(found[0].methods))
    protocol = Protocol(margin=margin, looks=tuple(looks) if looks else None)
    rows, notes = [], [note for one in found for note in one.notes]
    for one in found:
        baselines = _baselines(one, name, against)
        rows += [_compare(one, name, baseline, protocol, len(baselines), notes) for baseline in baselines]
    return Judgement(name, rows, protocol, _over_sets(rows), list(dict.fromkeys(notes)))


def judge_ledgers(
    ledgers: Sequence[Ledger], method: str | None = None, against: Sequence[str] | None = None
) -> Judgement:
    """Give the verdict over several experiments, each by the protocol that it was planned with.

    Raises:
        UserError: an experiment without the method or a baseline, or whose runs cannot be compared.
    """
    rows, protocol, plans = [], Protocol(), {}
    name = title = method or ""
    if repeated := [one.name for place, one in enumerate(ledgers) if one.name in {o.name for o in ledgers[:place]}]:
        raise UserError(f"experiment '{repeated[0]}' is given twice; a verdict over data sets needs different ones")
    for ledger in ledgers:
        evidence = read_evidence(ledger)
        protocol = protocol_of(ledger, evidence.test_share)
        asked = evidence.questions[0]
        name = name or asked.method
        wanted = list(against or asked.against)
        contrasts = [
            contrast
            for contrast in all_contrasts(evidence)
            if contrast.method == name and contrast.baseline in wanted and contrast.pair is None
        ]
        contrasts = list({contrast.baseline: contrast for contrast in contrasts}.values())
        if lacking := [baseline for baseline in wanted if baseline not in {one.baseline for one in contrasts}]:
            raise UserError(f"experiment '{ledger.name}' does not compare {name} with {lacking[0]}")
        contrasts = [replace(contrast, family="judged", shares="") for contrast in contrasts]
        decided = decide(contrasts, protocol, evidence.batch_dependent)
        title = evidence.titles.get(name, name)
        rows += [_of_ledger(ledger, one, evidence.titles, len(evidence.seeds)) for one in decided]
        plans[rows[-1].dataset] = protocol.looks or ()
    sets = {ledger.experiment["dataset"]["digest"] for ledger in ledgers}
    return Judgement(title, rows, protocol, _over_sets(rows), looks=plans, n_sets=len(sets))


def judge_printed(first: str, second: str, n_images: int) -> Printed:
    """Say what two printed accuracies on N test images could be, with nothing else known.

    The interval of the difference takes the two for independent samples, which is too wide where they are not: the same
    test images cancel some of the noise. The best of ten runs is expected 1.54 standard deviations above
    their mean.

    Raises:
        UserError: no percentage, or no images.
    """
    if n_images < 1:
        raise UserError("--images is the number of test images, 1 or more")
    try:
        shares = [printed_value(printed)[0] / 100 for printed in (first, second)]
    except ValueError as error:
        raise UserError(f"--printed: {error}") from error
    noise = 100 * sqrt(sum(share * (1 - share) for share in shares) / n_images)
    difference, reach = 100 * (shares[0] - shares[1]), float(stats.norm.ppf(0.975)) * noise
    batch = read_paper().batch_size
    single = 100 * sqrt(shares[1] * (1 - shares[1]) / n_images)
    bounds = [wilson_interval(share, n_images) for share in shares]
    return Printed(
        printed=(first, second),
        n_images=n_images,
        attainable=(attainable_accuracy(first, n_images), attainable_accuracy(second, n_images)),
        as_batches=(
            attainable_batch_average(first, n_images, batch),
            attainable_batch_average(second, n_images, batch),
        ),
        wilson=((100 * bounds[0][0], 100 * bounds[0][1]), (100 * bounds[1][0], 100 * bounds[1][1])),
        difference=difference,
        interval=(difference - reach, difference + reach),
        best_of_ten=1.5388 * single,
    )


def _baselines(evidence: Evidence, method: str, against: Sequence[str] | None) -> list[str]:
    for name in (method, *(against or ())):
        if name not in evidence.methods:
            raise UserError(f"there is no method '{name}'; {nearest(name, list(evidence.methods))}")
    names = [name for name in evidence.methods if name != method] if against is None else list(against)
    if method in names:
        raise UserError(f"'{method}' cannot be its own baseline")
    return names


def _compare(
    evidence: Evidence, method: str, baseline: str, protocol: Protocol, comparisons: int, notes: list[str]
) -> Judged:
    a, b = evidence.methods[method], evidence.methods[baseline]
    shared = [seed for seed in a.seeds if seed in b.seeds]
    seeds = len(a.seeds), len(b.seeds)
    means = float(a.percent.mean()), float(b.percent.mean())
    about = evidence.dataset, method, baseline, means, seeds
    if seeds == (1, 1):
        models = None
        if evidence.kind == "predictions" and set(np.unique([a.percent, b.percent])) <= {0.0, 100.0}:
            models = mcnemar_test(a.percent[0] > 50, b.percent[0] > 50)
        notes.append(
            "each has one run: what is tested is these two trained models, not the methods"
            if models
            else "each has one run, and one run shows no spread: nothing is tested; three seeds are the fewest"
        )
        return Judged(*about, True, None, models)
    if len(shared) >= SHARED or a.seeds == b.seeds:
        rows = [np.array([one.percent[one.seeds.index(seed)] for seed in shared]) for one in (a, b)]
        left_out = sum(seeds) - 2 * len(shared)
        if left_out:
            notes.append(
                f"left out of the comparison of {method} and {baseline}: seeds that they do not share ({left_out})"
            )
        means = float(rows[0].mean()), float(rows[1].mean())
        test = compare_differences(rows[0] - rows[1], protocol, comparisons=comparisons, persons=evidence.persons)
        return Judged(evidence.dataset, method, baseline, means, seeds, True, test)
    notes.append(f"{method} and {baseline} share fewer than {SHARED} seeds: they are compared as unpaired (Welch)")
    return Judged(*about, False, compare_unpaired(a.percent, b.percent, protocol, comparisons=comparisons))


def _of_ledger(ledger: Ledger, decision: Decision, titles: Mapping[str, str], n_seeds: int) -> Judged:
    contrast = decision.contrast
    names = {BEST_SINGLE: "the best single network", **titles}
    return Judged(
        dataset=f"{ledger.experiment['dataset']['title']} ({ledger.name})",
        method=names.get(contrast.method, contrast.method),
        baseline=names.get(contrast.baseline, contrast.baseline),
        accuracies=(100 * contrast.accuracies[0], 100 * contrast.accuracies[1]),
        seeds=(n_seeds, n_seeds),
        paired=True,
        test=decision.test,
    )


def _over_sets(rows: Sequence[Judged]) -> dict[str, Literal["all", "some", "none"]]:
    """Return, by baseline, where the method is better; empty with one data set."""
    if len({row.dataset for row in rows}) < 2:
        return {}
    verdicts: dict[str, list[str]] = {}
    for row in rows:
        verdicts.setdefault(row.baseline, []).append(row.test.verdict if row.test else "")
    return {baseline: over_data_sets(found) for baseline, found in verdicts.items()}
