"""The answer in one sentence, and how numbers and names are written on the page of verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmark.analysis.paper import read_paper
from benchmark.analysis.report import Compared, Report
from benchmark.statistics.verdicts import EQUAL, HERE, NOT_YET, OPEN, ORDER, VERDICTS, WITHIN

OTHERS = ("paper", "further", "best-single")
TOO_FEW = {1: "one seed shows no spread", 2: "two seeds are too few for a verdict"}
ANSWERED, NAMED = 3, 5  # questions that the answer speaks about, and baselines that it names of one verdict
PHRASES = {
    "better": "is better than {}",
    "worse": "is worse than {}",
    "practically equal": "is practically equal (within ±{margin:g} points) to {}",
    "open": "shows no significant difference from {}",
    "not yet": "has no verdict yet against {}",
}


def answer_sentence(found: Report) -> str:
    """Return what the runs say about the questions, the first of them first: what was found, and what is excluded."""
    where = f"On {data_text(found)} with {counted(found.n_seeds, 'seed')}"
    answers = {method: rows for method in _asked(found) if (rows := found.rows("primary", method=method))}
    if not answers:
        return f"{where}: {_open_question(found)}{_others(found)}.{_remarks(found)}"
    shown = list(answers)
    if len(answers) > ANSWERED:
        shown = sorted(answers, key=lambda method: -found.accuracy[method])[:ANSWERED]
        where += f", the {ANSWERED} of {len(answers)} methods asked about that have the highest mean accuracy"
    sentences = [_answer(found, answers[method]) for method in shown]
    if len(answers) > ANSWERED:
        sentences.append(f"Table S1 has the other {len(answers) - ANSWERED}")
    known = _what_is_known(found, answers[shown[0]])
    return f"{where}: {'. '.join(sentences)}.{f' {known}.' if known else ''}{_remarks(found)}"


def brief_answer(found: Report) -> str:
    """Return the answer to the first question in two sentences at most, without sizes, else all of it."""
    rows = next((rows for method in _asked(found) if (rows := found.rows("primary", method=method))), None)
    if rows is None:
        return answer_sentence(found)
    known = _what_is_known(found, rows)
    where = f"On {data_text(found)} with {counted(found.n_seeds, 'seed')}"
    return f"{where}, {_answer(found, rows, sized=False)}.{f' {known}.' if known else ''}"


def _asked(found: Report) -> list[str]:
    return list(dict.fromkeys(question.method for question in found.questions))


def _answer(found: Report, rows: list[Compared], *, sized: bool = True) -> str:
    """Return the answer to one question, its baselines by verdict, with the differences where it is `sized`."""
    groups: dict[str, list[str]] = {}
    ordered = sorted(rows, key=lambda row: VERDICTS.index(row.verdict))
    for row in ordered:
        size = f" ({_size(row, ordered[0])})" if sized else ""
        groups.setdefault(row.verdict, []).append(_flagged(found, row.baseline) + size)
    parts = [_phrase(found, word, listed(_few(names))) for word, names in groups.items()]
    together = f" ({counted(rows[0].family_size, 'comparison')} together)" if sized and rows[0].family_size > 1 else ""
    warning = ", but its predictions depend on the batch" if rows[0].method in found.batch_dependent else ""
    return f"{title_of(found, rows[0].method)} {'; '.join(parts)}{together}{warning}"


def _phrase(found: Report, verdict: str, names: str) -> str:
    """Return a verdict and what it is about: "is better than X on this test set"."""
    word = next(word for word in PHRASES if verdict.startswith(word))
    rest = verdict.removeprefix(word)
    text = PHRASES[word].format(names, margin=found.protocol.margin)
    if verdict == NOT_YET:
        at = found.looks.current
        rest = ": " + TOO_FEW.get(at, f"the first look is at {at} seeds")
    return text + rest.replace("the margin", f"{found.protocol.margin:g} points")


def _what_is_known(found: Report, rows: list[Compared]) -> str:
    """Return what the first question's intervals exclude, what they say of a claimed size, and whether pairs differ."""
    still_open = {
        row.baseline: row.gain_excluded_above
        for row in rows
        if row.verdict == OPEN and row.gain_excluded_above is not None
    }
    parts = []
    if still_open:
        most = max(still_open.values())
        over = "any of the others" if len(still_open) > 1 else title_of(found, next(iter(still_open)))
        if len(rows) - len(still_open) > 0 and len(still_open) > 1:
            over = "those that are open"
        excluded = f"a gain above {most:.2f} points over {over}" if most > 0 else f"any gain over {over}"
        parts.append(f"{excluded} is excluded")
    parts += [
        f"the paper's claim that {_within(claim.statement)} is {claim.verdict}"
        for claim in found.claims
        if claim.size and claim.size >= 2 * found.protocol.margin and claim.method == rows[0].method
    ]
    test = found.interaction
    if test and test.p_value is not None and test.p_value < found.protocol.alpha:
        parts.append(f"the differences depend on the pair of networks (p = {p_value(test.p_value)})")
    text = "; ".join(parts).replace("= <", "<")
    return text[:1].upper() + text[1:]


def _within(sentence: str) -> str:
    """Return a sentence as part of another one."""
    return sentence[:1].lower() + sentence[1:].rstrip(".")


def _flagged(found: Report, method: str) -> str:
    return title_of(found, method) + flag_of(found, method)


def _few(names: list[str]) -> list[str]:
    return names if len(names) <= NAMED else [*names[: NAMED - 1], f"{len(names) - NAMED + 1} others"]


def _open_question(found: Report) -> str:
    """Say why no question has an answer: its method was not run, or nothing to compare it with."""
    method = found.questions[0].method
    title = title_of(found, method)
    if method in found.missing:
        return f"{title} has no complete results, so the question is open"
    if method not in found.methods:
        return f"{title} was not run, so the question is open (--question METHOD asks another)"
    return f"no method was run that {title} is to be compared with, so the question is open"


def _remarks(found: Report) -> str:
    """Return sentences on earlier versions of the methods asked about, and on methods that are left out."""
    sentences = [
        f" {counted(count, 'earlier version')} of {title_of(found, method)} "
        f"{'was' if count == 1 else 'were'} tested on these test images before."
        for method, count in found.earlier_versions.items()
    ]
    if found.missing:
        sentences.append(f" Left out: {missing_text(found.missing, found)}.")
    return "".join(sentences)


def missing_text(missing: Mapping[str, Sequence[int]], found: Report | None = None) -> str:
    """Return which methods lack runs, and how many."""
    names = {method: title_of(found, method) if found else method for method in missing}
    return listed([f"{names[method]} ({_lacks(count, of)})" for method, (count, of) in missing.items()])


def _lacks(count: int, of: int) -> str:
    return "its run is missing" if of == 1 else f"{count} of its {of} runs {'is' if count == 1 else 'are'} missing"


def data_text(found: Report) -> str:
    """Return the data set's name, with a warning where its images are drawn."""
    return f"{found.dataset_title}{' (SYNTHETIC, drawn images)' if found.synthetic else ''}"


def _others(found: Report) -> str:
    """Return what another family says, in part, where that of the questions is empty."""
    rows = next(filter(None, (found.rows(family) for family in OTHERS)), [])
    methods = list(dict.fromkeys(row.method for row in rows))[:ANSWERED]
    answers = [_answer(found, [row for row in rows if row.method == method]) for method in methods]
    return "".join(f"; {answer}" for answer in answers)


def _size(row: Compared, first: Compared) -> str:
    """Return a difference with the interval that its verdict was read off, in words for the first one."""
    ends = interval_of(row)
    if None in ends or row.verdict == NOT_YET:
        return f"{points(row.difference)}{' points' * (row is first)}"
    level, known = (_level(one.verdict) for one in (row, first))
    words = "" if row is not first and level == known else f" points, {level} % interval"
    return f"{points(row.difference)}{words or ','} {points(ends[0])} to {points(ends[1])}"


def _level(verdict: str) -> int:
    return 90 if verdict.startswith(EQUAL) or verdict.endswith(WITHIN) else 95


def interval_of(row: Compared) -> Sequence[float | None]:
    """Return the interval over seeds where the verdict is about this test set, else the wider of the two."""
    if HERE in row.verdict or ORDER in row.verdict:
        return row.seeds_interval
    return row.loss_excluded_below, row.gain_excluded_above


def listed(names: list[str]) -> str:
    """Return names as a list in a sentence."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def title_of(found: Report, name: str) -> str:
    """Return what tables call a method, a backbone (one of the paper's not run too), or the best single one."""
    known = {"best-single": "the best single network", **read_paper().titles, **found.titles}
    return known.get(name, name)


def names_of(found: Report, names: Iterable[str]) -> str:
    """Return titles in a row."""
    return ", ".join(title_of(found, name) for name in names)


def group_of(found: Report, names: Iterable[str]) -> str:
    """Return what tables call a group of networks."""
    return " + ".join(title_of(found, name) for name in names)


def flag_of(found: Report, name: str) -> str:
    """Return the mark of a method whose predictions depend on the batch."""
    return " †" if name in found.batch_dependent else ""


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
