"""Which backbone and which method is the best, and which do not differ significantly from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmark.analysis.evidence import Evidence, Floats
from benchmark.analysis.facts import SELECTION
from benchmark.analysis.report import Standing, Top
from benchmark.statistics.comparison import Protocol
from benchmark.statistics.looks import looks
from benchmark.statistics.paired import stretched
from benchmark.statistics.standing import top_arms


def standings(evidence: Evidence, protocol: Protocol) -> dict[str, Standing]:
    """Return the top of the backbones, of the methods on the mean over pairs, and of the methods pair by pair.

    Each of the three is a family of its own; a method whose predictions depend on the batch is in none.
    """
    backbones = list(evidence.ledger.experiment["main"]["backbones"])
    methods = [method for method in evidence.methods if method not in evidence.batch_dependent]
    alone = np.array([[_alone(evidence, name, seed) for seed in evidence.seeds] for name in backbones])
    found = {"backbones": _family(backbones, [None], alone[None], protocol)}
    if methods:
        fused = np.stack([evidence.metric(method) for method in methods], axis=1)
        found["methods"] = _family(methods, [None], fused.mean(axis=0)[None], protocol)
        found["per_pair"] = _family(methods, evidence.groups, fused, protocol)
    return found


def _alone(evidence: Evidence, name: str, seed: int) -> float:
    return 100 * evidence.records[None, (name,), seed].metrics[SELECTION]["accuracy"]


def _family(names: list[str], pairs: Sequence[Any], accuracies: Floats, protocol: Protocol) -> Standing:
    """Return the top of each pair: (P, M, S) accuracies of the named arms; all of them before the first look."""
    n_seeds = accuracies.shape[2]
    found = looks(protocol.looks or (n_seeds,), n_seeds, alpha=protocol.alpha)
    at = found.current
    apart = stretched(accuracies[:, :, : at.n_seeds], protocol.test_share)
    tops = top_arms(apart, alpha=at.alpha if found.reached else 0.0)
    return Standing(
        compared=names,
        comparisons=len(pairs) * len(names) * (len(names) - 1) // 2,
        groups=[Top(pair=pair, top=[names[place] for place in top]) for pair, top in zip(pairs, tops, strict=True)],
    )
