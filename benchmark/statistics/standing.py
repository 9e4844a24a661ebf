"""Which of several arms is the best, and which do not differ significantly from it."""

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from benchmark.statistics.comparison import can_decide
from benchmark.statistics.multiplicity import holm
from benchmark.statistics.paired import paired_t_test


def top_arms(accuracies: ArrayLike, *, alpha: float = 0.05) -> list[list[int]]:
    """In each group, the arm with the highest mean and every arm that does not differ significantly from it.

    Every two arms of a group are compared by a paired t test over seeds, under Holm's correction over all
    comparisons of all groups. All pairs are tested, and not the highest against the rest alone, since which
    arm is the highest is read off the same seeds. An arm that stands alone is above every other one.

    Args:
        accuracies: (P, M, S), of M arms in P groups over S seeds.
        alpha: chance of a single false difference among all comparisons.

    Returns:
        For each group the places of its top arms, the highest mean first.

    Raises:
        ValueError: not of that shape, or a number that is missing.

    Source: all pairwise comparisons with Holm 1979; reading the best off them, Hsu 1996, Multiple Comparisons.
    """
    array = np.asarray(accuracies, dtype=np.float64)
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(f"expected accuracies by group, arm and seed, shape (P, M, S), got shape {array.shape}")
    pairs = list(combinations(range(array.shape[1]), 2))
    tests = [paired_t_test(group[a] - group[b]) for group in array for a, b in pairs]
    adjusted = holm([test.p_value for test in tests])
    told = iter([bool(p <= alpha) and can_decide(t.n_seeds, t.sd) for t, p in zip(tests, adjusted, strict=True)])
    return [_top(group.mean(axis=1), {pair: next(told) for pair in pairs}) for group in array]


def _top(means: np.ndarray, told: dict[tuple[int, int], bool]) -> list[int]:
    order = np.argsort(-means, kind="stable").tolist()
    highest = order[0]
    return [highest, *(arm for arm in order[1:] if not told[min(arm, highest), max(arm, highest)])]
