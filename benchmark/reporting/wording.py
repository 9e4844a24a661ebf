"""The answer in one sentence, and how numbers and names are written on the page of verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmark.reporting.printed import read_paper

Values = dict[str, Any]
OTHERS = ("further", "best-single")
SENTENCE = {
    "better": "better than {}",
    "better on this test set": "better on this test set than {}",
    "worse": "worse than {}",
    "worse on this test set": "worse on this test set than {}",
    "practically equal": "practically equal (within ±{margin:g} points) to {}",
    "inconclusive": "not told apart from {}",
}


def answer_sentence(found: Values) -> str:
    """Return what the runs say about the primary question, in one sentence."""
    where = f"On {data_text(found)} with {counted(found['n_seeds'], 'seed')}"
    rows = [row for row in found["comparisons"] if row["family"] == "primary"]
    if found["primary_method"] is None:
        return f"{where}: attention fusion was not run, so the primary question is open{_others(found)}."
    if not rows:
        return f"{where}: no baseline of attention fusion was run, so the primary question is open{_others(found)}."
    subject = title_of(found, rows[0]["method"])
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(row["verdict"], []).append(f"{title_of(found, row['baseline'])} {_size(row)}")
    parts = [_words(found, word, listed(groups[word])) for word in SENTENCE if word in groups]
    warning = ", but its predictions depend on the batch" if any(row["batch_dependent"] for row in rows) else ""
    return f"{where}: {subject} is {'; '.join(parts)}{warning}."


def data_text(found: Values) -> str:
    """Return the data set's name, with a warning where its images are drawn."""
    return f"{found['dataset_title']}{' (SYNTHETIC, drawn images)' if found['synthetic'] else ''}"


def _others(found: Values) -> str:
    """Return what the other families say where the primary one is empty."""
    families = {family: [row for row in found["comparisons"] if row["family"] == family] for family in OTHERS}
    rows = next(filter(None, families.values()), [])
    words = [
        f"{title_of(found, row['method'])} is {_words(found, row['verdict'], title_of(found, row['baseline']))}"
        for row in rows
    ]
    return "; " + ", ".join(words) if words else ""


def _words(found: Values, verdict: str, names: str) -> str:
    return SENTENCE[verdict].format(names, margin=found["protocol"]["margin"])


def _size(row: Values) -> str:
    more = row["more_seeds"]
    if row["verdict"] != "inconclusive":
        return f"({points(row['difference'])} points)"
    if row["sd"] is None:
        return "(one seed shows no spread)"
    needed = f"about {counted(more, 'more seed')}" if more else "no number of seeds would do"
    return f"({points(row['difference'])} points; {needed})"


def listed(names: list[str]) -> str:
    """Return names as a list in a sentence."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def title_of(found: Values, name: str) -> str:
    """Return what tables call a method, a backbone (one of the paper's not run too), or the best single one."""
    known = {"best-single": "the best single network", **read_paper().titles, **found["titles"]}
    return str(known.get(name, name))


def names_of(found: Values, names: Iterable[str]) -> str:
    """Return titles in a row."""
    return ", ".join(title_of(found, name) for name in names)


def group_of(found: Values, names: Iterable[str]) -> str:
    """Return what tables call a group of networks."""
    return " + ".join(title_of(found, name) for name in names)


def flag_of(found: Values, name: str) -> str:
    """Return the mark of a method whose predictions depend on the batch."""
    return " †" if name in found["batch_dependent"] else ""


def counted(count: int, what: str) -> str:
    """Return a number and its noun."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def number(value: float | None) -> str:
    """Write a number to two decimals; nothing where there is none."""
    return "" if value is None else f"{value:.2f}"


def points(value: float | None) -> str:
    """Write a difference with its sign."""
    return "" if value is None else f"{value:+.2f}"


def percent(share: float | None) -> str:
    """Write a share as a signed percentage."""
    return "" if share is None else f"{100 * share:+.1f}"


def p_value(value: float | None) -> str:
    """Write a p-value."""
    if value is None:
        return ""
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def interval(ends: Sequence[float | None]) -> str:
    """Write an interval of accuracies."""
    return "" if None in ends else f"[{', '.join(map(number, ends))}]"


def signed_interval(ends: Sequence[float | None]) -> str:
    """Write an interval of differences."""
    return "" if None in ends else f"[{', '.join(map(points, ends))}]"
