"""Would the primary verdict be another one under another choice of selection, metric or pairs?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import nan
from typing import Any

import numpy as np

from benchmark.reporting.accuracy import SELECTION
from benchmark.reporting.comparisons import BASELINES, PRIMARY, Protocol, basis_of, compare_seeds
from benchmark.reporting.evidence import Evidence, Floats
from benchmark.statistics.interaction import interaction_test
from benchmark.statistics.mcnemar import mcnemar_test
from benchmark.statistics.paired import Refusal
from benchmark.statistics.verdicts import comparison_verdict

CHOICES = {
    "last epoch": ("last_epoch", "accuracy"),
    "best epoch on test": ("best_test_epoch", "accuracy"),
    "balanced accuracy": (SELECTION, "balanced_accuracy"),
    "macro F1": (SELECTION, "macro_f1"),
}


def protocol_choices(evidence: Evidence, protocol: Protocol) -> list[dict[str, Any]]:
    """Return the primary family under every choice, the protocol's own first.

    Seeds alone decide here, since predictions of single images are kept for the validation-selected epoch only: the
    strongest words are "better on this test set" and "worse on this test set".
    """
    baselines = [name for name in BASELINES if name in evidence.methods]
    if PRIMARY not in evidence.methods or not baselines:
        return []
    rows: list[dict[str, Any]] = []
    for choice, differences in _differences(evidence, baselines):
        tests = compare_seeds(differences, protocol)
        words = [comparison_verdict(basis_of(test, (nan, nan)), alpha=protocol.alpha) for test in tests]
        verdicts = dict(zip(baselines, words, strict=True))
        means = dict(zip(baselines, (test.paired.mean for test in tests), strict=True))
        changed = [name for name in baselines if rows and verdicts[name] != rows[0]["verdicts"][name]]
        rows.append({"choice": choice, "differences": means, "verdicts": verdicts, "changed": changed})
    return rows


def _differences(evidence: Evidence, baselines: list[str]) -> Iterator[tuple[str, Floats]]:
    """Yield each choice with its (K, S) differences in points."""
    accuracy = np.stack([evidence.metric(PRIMARY) - evidence.metric(name) for name in baselines])
    yield "as the protocol has it", accuracy.mean(axis=1)
    for choice, (rule, metric) in CHOICES.items():
        first = evidence.metric(PRIMARY, rule, metric)
        yield choice, np.stack([(first - evidence.metric(name, rule, metric)).mean(axis=0) for name in baselines])
    for place, group in enumerate(evidence.groups):
        if len(evidence.groups) > 1:
            yield f"without {evidence.group_title(group)}", np.delete(accuracy, place, axis=1).mean(axis=1)


def interaction(evidence: Evidence, protocol: Protocol) -> dict[str, Any] | None:
    """Return whether the differences between the paper's methods depend on the pair; None with one pair or method,
    or where seeds test on parts of one data set and are not independent."""
    methods = [method for method in (PRIMARY, *BASELINES) if method in evidence.methods]
    if len(methods) < 2 or len(evidence.groups) < 2 or protocol.test_share:
        return None
    accuracies = np.stack([evidence.metric(method) for method in methods])
    generator = replace(protocol, generator_seed=protocol.generator_seed + 1).generator()
    test = interaction_test(accuracies, generator, n_resamples=protocol.n_resamples, alpha=protocol.alpha)
    if isinstance(test, Refusal):
        return {"methods": methods, "p_value": None, "refused": str(test)}
    return {"methods": methods, "p_value": test.p_value, "refused": None}


def single_models(evidence: Evidence) -> list[dict[str, Any]]:
    """Return McNemar's test of every primary comparison for each pair and seed: descriptive, never pooled."""
    if PRIMARY not in evidence.methods:
        return []
    return [
        {
            "method": PRIMARY,
            "baseline": name,
            "pair": group,
            "seed": seed,
            "only_method": test.only_first,
            "only_baseline": test.only_second,
            "p_value": test.p_value,
            "variant": test.variant,
        }
        for name in BASELINES
        if name in evidence.methods
        for group in evidence.groups
        for seed in evidence.seeds
        for test in [_mcnemar(evidence, name, group, seed)]
    ]


def _mcnemar(evidence: Evidence, baseline: str, group: tuple[str, ...], seed: int) -> Any:
    return mcnemar_test(
        evidence.outcomes[PRIMARY, group, seed].correct, evidence.outcomes[baseline, group, seed].correct
    )
