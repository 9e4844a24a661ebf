"""Turn p-values and intervals into the words of the report, by fixed rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmark.statistics.proportions import printed_value

Interval = tuple[float, float]
ComparisonVerdict = Literal[
    "better",
    "better on this test set",
    "worse",
    "worse on this test set",
    "practically equal",
    "inconclusive",
]
PrintedVerdict = Literal["reproduced", "not reproduced", "inconclusive", "other data"]
ClaimVerdict = Literal["supported", "direction only", "contradicted", "inconclusive"]

FEWEST_SEEDS = 5
FEWEST_COMPARED = 3


@dataclass(frozen=True)
class Evidence:
    """What a verdict on method minus baseline rests on; a number that could not be computed is NaN."""

    n_seeds: int
    p_holm: float
    t_interval: Interval
    crossed_interval: Interval
    equivalence_p: float


def can_decide(n_seeds: int, t_interval: Interval) -> bool:
    """Tell whether there are seeds enough to speak of a spread over them.

    Three at least: the spread of two is a single difference. Where the interval is a point, all seeds differ
    by the same number of images, which tells of coarse steps rather than of certainty: five at least.
    """
    low, high = t_interval
    return n_seeds >= (FEWEST_SEEDS if low == high else FEWEST_COMPARED)


def comparison_verdict(evidence: Evidence, *, alpha: float = 0.05) -> ComparisonVerdict:
    """Word for one comparison, by the first rule that applies.

    1. "practically equal": the equivalence test rejects, p ≤ alpha: the mean difference over seeds lies
       inside the margin, even where it is surely not zero, because the margin says which differences matter.
    2. "better": Holm's p ≤ alpha, and both the t interval and the crossed interval lie above zero.
    3. "better on this test set": Holm's p ≤ alpha and the t interval lies above zero; other images could turn
       it.
    4. "worse" and "worse on this test set": the same below zero.
    5. "inconclusive": all else, NaN included, and everything where `can_decide` says no.
    """
    if evidence.equivalence_p <= alpha and can_decide(evidence.n_seeds, evidence.t_interval):
        return "practically equal"
    direction = significant_direction(evidence, alpha=alpha)
    low, high = evidence.crossed_interval
    if direction > 0:
        return "better" if low > 0 else "better on this test set"
    if direction < 0:
        return "worse" if high < 0 else "worse on this test set"
    return "inconclusive"


def significant_direction(evidence: Evidence, *, alpha: float = 0.05) -> int:
    """+1 or -1 when Holm's p ≤ alpha and the t interval lies above or below zero; 0 otherwise, and with few seeds."""
    low, high = evidence.t_interval
    if not evidence.p_holm <= alpha or not can_decide(evidence.n_seeds, evidence.t_interval):
        return 0
    return 1 if low > 0 else -1 if high < 0 else 0


def claim_verdict(evidence: Sequence[Evidence], size: float | None = None, *, alpha: float = 0.05) -> ClaimVerdict:
    """Word for a claim that one method is above every baseline named, by `size` where the claim has one.

    1. "supported": every comparison is significantly above zero, and every t interval holds the size.
    2. "direction only": every comparison is significantly above zero, but some t interval excludes the size.
    3. "contradicted": some comparison is significantly below zero; or it is not significantly above zero, and
       its t interval excludes the size or, where the claim has none, the two are practically equal.
    4. "inconclusive": all else, NaN, an empty list and too few seeds (`can_decide`) included.

    Args:
        evidence: one per baseline, method minus baseline, all of one family.
        size: the difference claimed, in the unit of the intervals.
        alpha: level of every test.
    """
    if not all(can_decide(one.n_seeds, one.t_interval) for one in evidence):
        return "inconclusive"
    directions = [significant_direction(one, alpha=alpha) for one in evidence]
    excluded = [size is not None and (size < one.t_interval[0] or size > one.t_interval[1]) for one in evidence]
    if evidence and all(direction > 0 for direction in directions):
        return "direction only" if any(excluded) else "supported"
    refuted = (
        direction < 0 or off or (size is None and one.equivalence_p <= alpha)
        for one, direction, off in zip(evidence, directions, excluded, strict=True)
        if direction <= 0
    )
    return "contradicted" if any(refuted) else "inconclusive"


def printed_verdict(printed: str, prediction: Interval, n_seeds: int, *, same_data: bool) -> PrintedVerdict:
    """Word for a printed percentage beside our prediction interval, by the first rule that applies.

    1. "other data": our runs are not on the data set of the printed number.
    2. "inconclusive": fewer than 5 seeds, or no interval.
    3. "reproduced": the printed number, give or take half a unit of its last decimal, lies inside the
       interval.
    4. "not reproduced": it lies outside, above or below.

    Args:
        printed: percent as printed.
        prediction: interval in percent, over seeds under one selection rule.
        n_seeds: seeds behind the interval.
        same_data: whether data set and test images are those of the printed number.

    Raises:
        ValueError: printed is not a percentage between 0 and 100.
    """
    value, half_unit = printed_value(printed)
    low, high = prediction
    if not same_data:
        return "other data"
    if n_seeds < FEWEST_SEEDS or not low <= high:
        return "inconclusive"
    return "reproduced" if low <= value + half_unit and value - half_unit <= high else "not reproduced"
