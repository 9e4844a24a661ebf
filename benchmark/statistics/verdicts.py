"""Turn intervals into the words of the report, by fixed rules."""

from collections.abc import Sequence
from math import floor, isnan, log10
from typing import Literal

from benchmark.statistics.proportions import printed_value

Interval = tuple[float, float]
PrintedVerdict = Literal["reproduced", "compatible", "not compatible", "too few seeds", "other data"]
ClaimVerdict = Literal["shown", "excluded", "possible"]

OPEN, NOT_YET, EQUAL = "open", "not yet", "practically equal"
HERE, ORDER, WITHIN = " on this test set", " in this order of the test images", ", by less than the margin"
VERDICTS = (
    EQUAL,
    f"{EQUAL}{HERE}",
    f"{EQUAL}{ORDER}",
    *(f"{word}{where}{size}" for word in ("better", "worse") for where in ("", HERE, ORDER) for size in ("", WITHIN)),
    OPEN,
    NOT_YET,
)


def read_verdict(seeds: Interval, images: Interval, *, batch_dependent: bool = False) -> str:
    """Word for the direction of a difference, read off its two intervals.

    "better": both lie above zero. "better on this test set": that over seeds alone does. "worse" the same below zero.
    "open": anything else, NaN included. Where predictions depend on the batch, images are no units, and the word is
    about this order of the test images.

    Args:
        seeds: interval of method minus baseline over seeds.
        images: over seeds and images; NaN where images are not known.
    """
    direction = side_of(seeds)
    if direction == 0:
        return OPEN
    word = "better" if direction > 0 else "worse"
    if batch_dependent:
        return word + ORDER
    return word if side_of(images) == direction else word + HERE


def read_equality(seeds: Interval, images: Interval, margin: float, *, batch_dependent: bool = False) -> str | None:
    """Word for two methods that differ by less than the margin, read off intervals at twice the level; None if not so.

    "practically equal": both intervals lie inside ±margin; "on this test set": that over seeds alone does. An interval
    that excludes zero reads "better" or "worse", "by less than the margin".

    Source: two one-sided tests, Schuirmann 1987: p ≤ alpha is a 1 - 2 alpha interval inside the margin.
    """
    if not inside(seeds, margin):
        return None
    where = ORDER if batch_dependent else "" if inside(images, margin) else HERE
    told = read_verdict(seeds, images if where == "" else seeds, batch_dependent=batch_dependent)
    if told == OPEN or (where == "" and side_of(images) == 0):
        return EQUAL + where
    return ("better" if side_of(seeds) > 0 else "worse") + where + WITHIN


def side_of(interval: Interval) -> int:
    """+1 where an interval lies above zero, -1 below it, 0 where it holds zero or is NaN."""
    low, high = interval
    return 1 if low > 0 else -1 if high < 0 else 0


def inside(interval: Interval, margin: float) -> bool:
    """Tell whether an interval lies inside ±margin; NaN does not."""
    return -margin < interval[0] and interval[1] < margin


def widest(*intervals: Interval) -> Interval:
    """Return the lowest and the highest end of intervals, those that are NaN left out."""
    known = [ends for ends in intervals if not isnan(ends[0])]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else (float("nan"),) * 2


def claim_verdict(intervals: Sequence[Interval], size: float | None = None) -> ClaimVerdict:
    """Word for a claim that one method is above every baseline named, by about `size` where the claim has one.

    A size is met from half a unit of its leading digit below it: "about 4" from 3.5. "excluded": the interval of some
    comparison ends below that. "shown": every interval begins there or above, and above zero. "possible": all else, NaN
    and an empty list included.

    Args:
        intervals: of method minus baseline, one per baseline, the widest that is known of each.
        size: the difference claimed, in the unit of the intervals.
    """
    least = 0.0 if size is None else size - 0.5 * 10.0 ** floor(log10(size))
    if any(high < least for _, high in intervals):
        return "excluded"
    return "shown" if intervals and all(low > 0 and low >= least for low, _ in intervals) else "possible"


def over_data_sets(verdicts: Sequence[str]) -> Literal["all", "some", "none"]:
    """Say on how many data sets a method is better, with no pooling of accuracies.

    "all" is an intersection-union test: each data set's own verdict at level alpha, and no correction is due.

    Source: Berger 1982, Multiparameter hypothesis testing and acceptance sampling.
    """
    better = [verdict.startswith("better") and ORDER not in verdict for verdict in verdicts]
    return "all" if better and all(better) else "some" if any(better) else "none"


def printed_verdict(printed: str, prediction: Interval, margin: float, *, same_data: bool) -> PrintedVerdict:
    """Word for a printed percentage beside our prediction interval, by the first rule that applies.

    1. "other data": our runs are not on the data set of the printed number.
    2. "too few seeds": there is no interval.
    3. "not compatible": the printed number, give or take half a unit of its last decimal, lies outside the interval.
    4. "reproduced": it lies inside, and the interval's half-width is at most two margins.
    5. "compatible": it lies inside a wider interval, which many numbers do.

    Args:
        printed: percent as printed.
        prediction: interval in percent of one further run, under one selection rule.
        margin: differences below it count as none, in points.
        same_data: whether data set and test images are those of the printed number.

    Raises:
        ValueError: printed is not a percentage between 0 and 100.
    """
    value, half_unit = printed_value(printed)
    low, high = prediction
    if not same_data:
        return "other data"
    if not low <= high:
        return "too few seeds"
    if not (low <= value + half_unit and value - half_unit <= high):
        return "not compatible"
    return "reproduced" if high - low <= 4 * margin else "compatible"
