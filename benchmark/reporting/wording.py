"""The answer in one sentence, and how numbers and names are written on the page of verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmark.reporting.printed import read_paper

Values = dict[str, Any]
OTHERS = ("paper", "further", "best-single")
ANSWERED, NAMED = 3, 5  # questions that the answer speaks about, and baselines that it names of one verdict
SENTENCE = {
    "better": "better than {}",
    "better on this test set": "better on this test set than {}",
    "worse": "worse than {}",
    "worse on this test set": "worse on this test set than {}",
    "practically equal": "practically equal (within ±{margin:g} points) to {}",
    "inconclusive": "not significantly different from {}",
}


def answer_sentence(found: Values) -> str:
    """Return what the runs say about the questions: the first in the first sentence, the best few of many."""
    where = f"On {data_text(found)} with {counted(found['n_seeds'], 'seed')}"
    answers = {method: rows for method in _asked(found) if (rows := _rows(found, "primary", method))}
    if not answers:
        return f"{where}: {_open_question(found)}{_others(found)}.{_remarks(found)}"
    shown = list(answers)
    if len(answers) > ANSWERED:
        shown = sorted(answers, key=lambda method: -found["accuracy"][method])[:ANSWERED]
        where += f", the {ANSWERED} of {len(answers)} methods asked about that have the highest mean accuracy"
    sentences = [_answer(found, answers[method]) for method in shown]
    if len(answers) > ANSWERED:
        sentences.append(f"Table S1 has the other {len(answers) - ANSWERED}")
    return f"{where}: {'. '.join(sentences)}.{_remarks(found)}"


def _asked(found: Values) -> list[str]:
    return list(dict.fromkeys(question["method"] for question in found["questions"]))


def _rows(found: Values, family: str, method: str | None = None) -> list[Values]:
    rows = [row for row in found["comparisons"] if row["family"] == family]
    return rows if method is None else [row for row in rows if row["method"] == method]


def _answer(found: Values, rows: list[Values]) -> str:
    """Return the answer to one question, its baselines by verdict."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(row["verdict"], []).append(f"{_flagged(found, row['baseline'])} {_size(row)}")
    parts = [_words(found, word, listed(_few(groups[word]))) for word in SENTENCE if word in groups]
    warning = ", but its predictions depend on the batch" if rows[0]["method"] in found["batch_dependent"] else ""
    return f"{title_of(found, rows[0]['method'])} is {'; '.join(parts)}{warning}"


def _flagged(found: Values, method: str) -> str:
    return title_of(found, method) + flag_of(found, method)


def _few(names: list[str]) -> list[str]:
    return names if len(names) <= NAMED else [*names[: NAMED - 1], f"{len(names) - NAMED + 1} others"]


def _open_question(found: Values) -> str:
    """Say why no question has an answer: its method was not run, or nothing to compare it with."""
    method = found["questions"][0]["method"]
    title = title_of(found, method)
    if method in found["missing"]:
        return f"{title} has no complete results, so the question is open"
    if method not in found["methods"]:
        return f"{title} was not run, so the question is open (--question METHOD asks another)"
    return f"no method was run that {title} is to be compared with, so the question is open"


def _remarks(found: Values) -> str:
    """Return sentences on earlier versions of the methods asked about, and on methods that are left out."""
    sentences = [
        f" {counted(count, 'earlier version')} of {title_of(found, method)} "
        f"{'was' if count == 1 else 'were'} tested on these test images before."
        for method, count in found["earlier_versions"].items()
    ]
    if found["missing"]:
        sentences.append(f" Left out: {missing_text(found['missing'], found)}.")
    return "".join(sentences)


def missing_text(missing: Mapping[str, Sequence[int]], found: Values | None = None) -> str:
    """Return which methods lack runs, and how many."""
    names = {method: title_of(found, method) if found else method for method in missing}
    return listed([f"{names[method]} ({count} of {of} runs are missing)" for method, (count, of) in missing.items()])


def data_text(found: Values) -> str:
    """Return the data set's name, with a warning where its images are drawn."""
    return f"{found['dataset_title']}{' (SYNTHETIC, drawn images)' if found['synthetic'] else ''}"


def _others(found: Values) -> str:
    """Return what another family says, in part, where that of the questions is empty."""
    rows = next(filter(None, (_rows(found, family) for family in OTHERS)), [])
    methods = list(dict.fromkeys(row["method"] for row in rows))[:ANSWERED]
    answers = [_answer(found, [row for row in rows if row["method"] == method]) for method in methods]
    return "".join(f"; {answer}" for answer in answers)


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
