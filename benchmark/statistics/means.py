"""The mean over pairs, seed by seed."""

from collections.abc import Mapping, Sequence
from statistics import fmean


def means_by_seed(pairs: Sequence[Mapping[int, float]]) -> list[float]:
    """Return the mean over pairs, each its values by seed, for every seed that all pairs have, seeds ascending."""
    common = set.intersection(*map(set, pairs)) if pairs else set()
    return [fmean(values[seed] for values in pairs) for seed in sorted(common)]
