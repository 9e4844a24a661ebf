"""Words for numbers: every sentence follows from a verdict, none is written for one outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from benchmark.analysis.report import Claim, Compared, Report
from benchmark.reporting.wording import (
    counted,
    flag_of,
    group_of,
    listed,
    number,
    points,
    signed_interval,
    title_of,
)
from benchmark.statistics.verdicts import EQUAL, NOT_YET
from tools.findings.contrasts import Answer, Orders

CLAIM_WORDS = {
    "shown": "Shown on these data",
    "excluded": "Excluded on these data",
    "possible": "Possible: neither shown nor excluded",
}
NOT_TESTED = "Not tested"


def relation(row: Compared | Answer, other: str) -> str:
    """Return how something compares to another, by the verdict: above, below, equal, or no difference."""
    verdict = row.verdict
    interval = f" {signed_interval(row.seeds_interval)}" if None not in row.seeds_interval else ""
    for word, direction in (("better", "above"), ("worse", "below")):
        if verdict.startswith(word):
            return f"is {abs(row.difference):.2f} points {direction} {other}{interval}{verdict.removeprefix(word)}"
    if verdict == NOT_YET:
        side = "above" if row.difference > 0 else "below"
        seeds = counted(row.n_seeds, "seed")
        return f"is {abs(row.difference):.2f} points {side} {other}{interval}, over {seeds}, no verdict yet"
    size = f"({points(row.difference)} points{interval})"
    if verdict.startswith(EQUAL):
        return f"is practically equal to {other}{verdict.removeprefix(EQUAL)} {size}"
    return f"shows no significant difference from {other} {size}"


def contrast_sentence(row: Answer) -> str:
    """Return a contrast as a sentence."""
    return f"{row.first} {relation(row, row.second)}."


def comparison_sentence(found: Report, row: Compared) -> str:
    """Return a comparison of a report as a sentence, with both intervals."""
    first = _name(found, row.method, row.pair)
    second = _name(found, row.baseline, row.baseline_pair or row.pair)
    images = row.images_interval
    crossed = f"; over seeds and images {signed_interval(images)}" if None not in images else ""
    return f"{first} {relation(row, second)}{crossed}."


def _name(found: Report, method: str, pair: Iterable[str] | None) -> str:
    group = f" of {group_of(found, pair)}" if pair else ""
    return f"{title_of(found, method)}{flag_of(found, method)}{group}"


def claim_words(claim: Claim, tested: bool) -> str:
    """Return the verdict on a claim in words; `tested` tells whether anything that it needs was run."""
    if claim.verdict == "possible" and claim.not_run:
        return f"{NOT_TESTED}{' in full' if tested else ''}"
    return CLAIM_WORDS[claim.verdict]


def order_sentence(orders: Orders, gaps: list[Answer], title: str) -> str:
    """Return what one reading scores by order, and what file order is worth to it over a shuffled test set."""
    accuracy = orders.accuracy
    scores = (
        f"{title} scores {number(accuracy['file_order'])} % in file order, {number(accuracy['sorted_by_class'])} % "
        f"sorted by class, {number(accuracy['shuffled'])} % shuffled and {number(accuracy['one_by_one'])} % one image "
        "at a time"
    )
    gap = next((row for row in gaps if row.method == orders.method and row.about == "file_order"), None)
    if gap is None:
        return f"{scores}."
    return f"{scores}: in file order it {relation(gap, 'its accuracy on shuffled images')}."


def independent_sentence(orders: list[Orders], found: Report) -> str:
    """Say which readings do not depend on the batch, and how many of their predictions changed all the same."""
    same = [row for row in orders if not row.depends]
    if not same:
        return ""
    names = listed([title_of(found, row.method) for row in same])
    most = max(row.changed for row in same)
    verb = "does" if len(same) == 1 else "do"
    return f"{names} {verb} not depend on the batch: on average {number(most)} % of the predictions or fewer change."


def optimism_sentence(found: Report) -> str:
    """Say what choosing the epoch on the test images would add, over all methods."""
    rows = found.selection_optimism
    if not rows:
        return ""
    gains = [row.difference for row in rows.values()]
    return (
        f"Choosing the epoch on the test images instead of validation would add {min(gains):.2f} to {max(gains):.2f} "
        "points, by method: a look at the test images that cannot lose."
    )


def repetition_sentence(rows: list[dict[str, Any]]) -> str:
    """Say how runs that were done again compare with their first time."""
    if not rows:
        return "No run of this ledger has been done again yet."
    words = Counter(row["verdict"] for row in rows)
    parts = [f"{count} {'are' if count > 1 else 'is'} {word}" for word, count in words.items()]
    verb = "was" if len(rows) == 1 else "were"
    return f"{counted(len(rows), 'run')} of this ledger {verb} done again and compared: {listed(parts)}."
