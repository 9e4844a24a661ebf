"""Would the first question's verdicts be another one under another choice of selection, metric or pairs?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmark.analysis.comparisons import compare_seeds, run_baselines
from benchmark.analysis.evidence import Evidence, Floats
from benchmark.analysis.facts import SELECTION
from benchmark.analysis.report import Interaction, ProtocolChoice, SingleModels
from benchmark.statistics.comparison import Protocol
from benchmark.statistics.interaction import interaction_test
from benchmark.statistics.mcnemar import mcnemar_test
from benchmark.statistics.paired import Refusal

GENERATOR_SEED = 20_260_102  # of the permutations, the same for every report
CHOICES = {
    "last epoch": ("last_epoch", "accuracy"),
    "best epoch on test": ("best_test_epoch", "accuracy"),
    "balanced accuracy": (SELECTION, "balanced_accuracy"),
    "macro F1": (SELECTION, "macro_f1"),
}


def protocol_choices(evidence: Evidence, protocol: Protocol) -> list[ProtocolChoice]:
    """Return the first question's comparisons under every choice, the protocol's own first.

    Seeds alone decide here, since predictions of single images are kept for the validation-selected epoch only: the
    strongest words are "better on this test set" and "worse on this test set".
    """
    question = evidence.questions[0]
    baselines = run_baselines(evidence, question)
    if not baselines:
        return []
    rows: list[ProtocolChoice] = []
    for choice, differences in _differences(evidence, question.method, baselines):
        tests = compare_seeds(differences, protocol)
        verdicts = dict(zip(baselines, (test.verdict for test in tests), strict=True))
        means = dict(zip(baselines, (test.mean for test in tests), strict=True))
        changed = [name for name in baselines if rows and verdicts[name] != rows[0].verdicts[name]]
        rows.append(ProtocolChoice(choice=choice, differences=means, verdicts=verdicts, changed=changed))
    return rows


def _differences(evidence: Evidence, method: str, baselines: list[str]) -> Iterator[tuple[str, Floats]]:
    """Yield each choice with its (K, S) differences in points."""
    accuracy = np.stack([evidence.metric(method) - evidence.metric(name) for name in baselines])
    yield "as the protocol has it", accuracy.mean(axis=1)
    for choice, (rule, metric) in CHOICES.items():
        first = evidence.metric(method, rule, metric)
        yield choice, np.stack([(first - evidence.metric(name, rule, metric)).mean(axis=0) for name in baselines])
    for place, group in enumerate(evidence.groups):
        if len(evidence.groups) > 1:
            yield f"without {evidence.group_title(group)}", np.delete(accuracy, place, axis=1).mean(axis=1)


def interaction(evidence: Evidence, protocol: Protocol) -> Interaction | None:
    """Return whether the differences between the methods of the first question depend on the pair.

    None with one pair or method, or where seeds test on parts of one data set and are not independent.
    """
    question = evidence.questions[0]
    methods = [method for method in (question.method, *question.against) if method in evidence.methods]
    if len(methods) < 2 or len(evidence.groups) < 2 or protocol.test_share:
        return None
    accuracies = np.stack([evidence.metric(method) for method in methods])
    test = interaction_test(accuracies, np.random.default_rng(GENERATOR_SEED), alpha=protocol.alpha)
    if isinstance(test, Refusal):
        return Interaction(methods=methods, p_value=None, refused=str(test))
    return Interaction(methods=methods, p_value=test.p_value, refused=None)


def single_models(evidence: Evidence) -> list[SingleModels]:
    """Return McNemar's tests of the first question's comparisons by pair and seed: descriptive, never pooled."""
    question = evidence.questions[0]
    return [
        SingleModels(
            method=question.method,
            baseline=name,
            pair=group,
            seed=seed,
            only_method=test.only_first,
            only_baseline=test.only_second,
            p_value=test.p_value,
            variant=test.variant,
        )
        for name in run_baselines(evidence, question)
        for group in evidence.groups
        for seed in evidence.seeds
        for test in [_mcnemar(evidence, (question.method, name), group, seed)]
    ]


def _mcnemar(evidence: Evidence, methods: tuple[str, str], group: tuple[str, ...], seed: int) -> Any:
    return mcnemar_test(*(evidence.outcomes[method, group, seed].correct for method in methods))
