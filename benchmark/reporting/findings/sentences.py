"""Words for numbers: every sentence follows from a verdict, none is written for one outcome."""

from __future__ import annotations

from collections import Counter
from typing import Any

from benchmark.reporting.wording import (
    Values,
    counted,
    flag_of,
    group_of,
    listed,
    number,
    p_value,
    points,
    signed_interval,
    title_of,
)

CLAIM_WORDS = {
    "supported": "Supported on these data",
    "direction only": "Supported in its direction, not in its size",
    "contradicted": "Contradicted on these data",
    "inconclusive": "Open: neither shown nor excluded",
}
NOT_TESTED = "Not tested"


def relation(row: Values, other: str) -> str:
    """Return how something compares to another, by the verdict: above, below, practically equal, not told apart."""
    verdict = row["verdict"]
    interval = f" {signed_interval(row['t_ci'])}" if None not in row["t_ci"] else ""
    for word, direction in (("better", "above"), ("worse", "below")):
        if verdict.startswith(word):
            where = " on this test set" if verdict.endswith("test set") else ""
            return f"{abs(row['difference']):.2f} points {direction} {other}{interval}{where}"
    word = "practically equal to" if verdict == "practically equal" else "not told apart from"
    return f"{word} {other} ({points(row['difference'])} points{interval})"


def contrast_sentence(row: Values) -> str:
    """Return a contrast as a sentence."""
    return f"{row['first']} is {relation(row, row['second'])}."


def comparison_sentence(found: Values, row: Values) -> str:
    """Return a comparison of `significance.json` as a sentence, with both intervals and the corrected p-value."""
    first = _name(found, row["method"], row["pair"])
    second = _name(found, row["baseline"], row["baseline_pair"] or row["pair"])
    crossed = f"; over seeds and images {signed_interval(row['crossed_ci'])}" if None not in row["crossed_ci"] else ""
    p = f"; p = {p_value(row['p_holm'])}, Holm".replace("= <", "<") if row["p_holm"] is not None else ""
    return f"{first} is {relation(row, second)}{crossed}{p}."


def _name(found: Values, method: str, pair: Any) -> str:
    group = f" of {group_of(found, pair)}" if pair else ""
    return f"{title_of(found, method)}{flag_of(found, method)}{group}"


def claim_words(claim: Values, tested: bool) -> str:
    """Return the verdict on a claim in words; `tested` tells whether anything that it needs was run."""
    if claim["verdict"] == "inconclusive" and claim["not_run"]:
        return f"{NOT_TESTED}{' in full' if tested else ''}"
    return CLAIM_WORDS[claim["verdict"]]


def order_sentence(orders: Values, gaps: list[Values], title: str) -> str:
    """Return what one reading scores by order, and what file order is worth to it over a shuffled test set."""
    accuracy = orders["accuracy"]
    scores = (
        f"{title} scores {number(accuracy['file_order'])} % in file order, {number(accuracy['sorted_by_class'])} % "
        f"sorted by class, {number(accuracy['shuffled'])} % shuffled and {number(accuracy['one_by_one'])} % one image "
        "at a time"
    )
    gap = next((row for row in gaps if row["method"] == orders["method"] and row["about"] == "file_order"), None)
    if gap is None:
        return f"{scores}."
    return f"{scores}: in file order it is {relation(gap, 'its accuracy on shuffled images')}."


def independent_sentence(orders: list[Values], found: Values) -> str:
    """Say which readings do not depend on the batch, and how many of their predictions changed all the same."""
    same = [row for row in orders if not row["depends"]]
    if not same:
        return ""
    names = listed([title_of(found, row["method"]) for row in same])
    most = max(row["changed"] for row in same)
    verb = "does" if len(same) == 1 else "do"
    return f"{names} {verb} not depend on the batch: on average {number(most)} % of the predictions or fewer change."


def optimism_sentence(found: Values) -> str:
    """Say what choosing the epoch on the test images would add, over all methods."""
    rows = found["selection_optimism"]
    if not rows:
        return ""
    gains = [row["difference"] for row in rows.values()]
    sure = [name for name, row in rows.items() if row["t_ci"][0] is not None and row["t_ci"][0] > 0]
    which = "of none" if not sure else "of each" if len(sure) == len(rows) else f"of {len(sure)} of {len(rows)}"
    return (
        f"Choosing the epoch on the test images instead of validation would add {min(gains):.2f} to {max(gains):.2f} "
        f"points, by method; the 95 % interval over seeds is above zero for the gain {which}."
    )


def repetition_sentence(rows: list[Values]) -> str:
    """Say how runs that were done again compare with their first time."""
    if not rows:
        return "No run of this ledger has been done again yet."
    words = Counter(row["verdict"] for row in rows)
    parts = [f"{count} {'are' if count > 1 else 'is'} {word}" for word, count in words.items()]
    verb = "was" if len(rows) == 1 else "were"
    return f"{counted(len(rows), 'run')} of this ledger {verb} done again and compared: {listed(parts)}."
