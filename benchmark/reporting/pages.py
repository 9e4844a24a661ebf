"""The page of verdicts for people: the answer, what it is about, and the tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import sqrt
from typing import Any

from benchmark.analysis.report import Compared, Report, SingleModels
from benchmark.reporting.formats import escape_markdown, to_markdown
from benchmark.reporting.tables import Table, text_table
from benchmark.reporting.wording import (
    counted,
    data_text,
    flag_of,
    group_of,
    interval,
    names_of,
    number,
    p_value,
    percent,
    points,
    signed_interval,
    title_of,
)
from benchmark.statistics.looks import looks
from benchmark.statistics.power import t_test_power
from benchmark.statistics.verdicts import EQUAL, WITHIN

FLAG_NOTE = (
    "† Predictions depend on the batch: the difference is not a property of single images and is never the best."
)


def significance_page(found: Report) -> str:
    """Return `significance.md`: the answer, what it is about, and the tables."""
    head = map(escape_markdown, [found.answer, *about_sentences(found)])
    return "\n\n".join([*head, *(to_markdown(table).strip() for table in verdict_tables(found).values())]) + "\n"


def about_sentences(found: Report) -> list[str]:
    """Return what the verdicts are about, what the paper's numbers are to them, and the ranking where there is one."""
    margin, alpha = found.protocol.margin, found.protocol.alpha
    about = (
        f"Experiment {found.experiment}, profile {found.profile}: {data_text(found)}, {found.n_images} test "
        f"images, {counted(len(found.pairs), 'pair')}, {counted(found.n_seeds, 'seed')}, epoch selected on "
        f"validation. Level {alpha:g} over all looks; differences within ±{margin:g} points count as none. The unit is "
        f"the seed; {_other_images(found)} {look_sentence(found)}"
    )
    compared = (
        "Data and test images are those of the paper: its numbers are compared with these."
        if found.same_data_as_paper
        else "These are other data than the paper's: its claims are tested on them, its printed numbers are not."
    )
    whole = f"Ledger {found.ledger_digest}." if found.ledger_digest else ""
    return list(filter(None, [about, compared, _ranking(found), whole]))


def verdict_tables(found: Report) -> dict[str, Table]:
    """Return the tables of verdicts by what they are about, numbered from S1; those without rows are left out."""
    writers: dict[str, Callable[[Report], Table | None]] = {
        "primary": lambda v: _family_table(v, "primary", f"{questions_title(v)}, mean over pairs"),
        "papers-question": lambda v: _family_table(v, "paper", "The paper's own question, mean over pairs"),
        "best-single": lambda v: _family_table(
            v, "best-single", "Fusion against the better network alone, chosen on validation"
        ),
        "further": lambda v: _family_table(v, "further", "Further methods against simple ones, mean over pairs"),
        "among": lambda v: _family_table(v, "among", "The methods asked about against each other: exploratory"),
        "readings": lambda v: _family_table(v, "readings", "Readings of the attention against the default reading"),
        "claims": _claim_table,
        "printed": _printed_table,
        "closing": _closing_table,
        "choices": _choices_table,
        "per-pair": lambda v: _family_table(v, "per-pair", "Pair by pair: exploratory"),
        "power": _power_table,
        "optimism": _optimism_table,
        "single-models": _single_models_table,
    }
    tables = {name: table for name, write in writers.items() if (table := write(found)) is not None}
    return {
        name: replace(table, number=f"S{place}", experiment=found.experiment)
        for place, (name, table) in enumerate(tables.items(), start=1)
    }


def questions_title(found: Report) -> str:
    """Return the heading of the questions' comparisons."""
    methods = list(dict.fromkeys(question.method for question in found.questions))
    return f"{title_of(found, methods[0]) if len(methods) == 1 else 'Each method asked about'} against its baselines"


def _ranking(found: Report) -> str:
    """Return which method has the highest mean, among those whose predictions do not depend on the batch."""
    best, flagged = found.best, [method for method in found.batch_dependent if method in found.accuracy]
    sentences = []
    if best:
        sentences.append(
            f"Highest mean accuracy over pairs and seeds: {title_of(found, best)}, {found.accuracy[best]:.2f} %."
        )
    if flagged:
        sentences.append(f"Not ranked, since their predictions depend on the batch: {names_of(found, flagged)}.")
    return " ".join(sentences)


def _other_images(found: Report) -> str:
    share = found.protocol.test_share
    if share is None:
        return '"better" also holds on other images, by an interval over seeds and images.'
    return (
        f"every seed tests on its own part, {100 * share:.3g} % of the images, and the parts' training images overlap: "
        "t tests and intervals are corrected for that (Nadeau and Bengio 2003), which also speaks for other images."
    )


def look_sentence(found: Report) -> str:
    """Say at how many seeds verdicts are given, and what the next look is."""
    at = found.looks
    if not at.reached:
        return f"Verdicts are given from {counted(at.current, 'seed')} on, as planned."
    beyond = f"; {found.n_seeds} are there" if found.n_seeds > at.current else ""
    return f"Verdicts are those of {counted(at.current, 'seed')}{beyond}; the next look is at {at.next}."


def _family_table(found: Report, family: str, title: str) -> Table | None:
    rows = found.rows(family)
    if not rows:
        return None
    with_pair = any(row.pair for row in rows)
    with_images = found.protocol.test_share is None  # else the t interval speaks for other images too
    body = [
        [
            title_of(found, row.method) + flag_of(found, row.method),
            title_of(found, row.baseline),
            *([group_of(found, row.pair or ())] if with_pair else []),
            points(row.difference),
            signed_interval(row.seeds_interval),
            *([signed_interval(row.images_interval)] if with_images else []),
            p_value(row.p_adjusted),
            percent(row.relative_error_reduction),
            row.verdict,
        ]
        for row in rows
    ]
    header = ["Method", "Baseline", *(["Pair"] if with_pair else []), "Difference (points)", "Over seeds"]
    header += [
        *(["Seeds × images"] if with_images else []),
        "p (adjusted)",
        "Errors removed (%)",
        "Verdict",
    ]
    return text_table(title, header, body, _family_notes(found, rows), names=3 if with_pair else 2)


def _family_notes(found: Report, rows: list[Compared]) -> list[str]:
    size, seeds = rows[0].family_size, rows[0].n_seeds
    alpha = found.looks.alpha
    notes = [
        f"Paired over {counted(seeds, 'seed')}; both intervals hold for {counted(size, 'comparison')} together, at "
        f"{100 * (1 - alpha):g} % for this look, and the verdict is read off them. p is that of the t test times "
        f"{size}, decided at {alpha:g}."
    ]
    if any(row.verdict.startswith(EQUAL) or row.verdict.endswith(WITHIN) for row in rows):
        notes.append(f"Where the difference is inside the margin, its intervals hold at {100 * (1 - 2 * alpha):g} %.")
    test = found.interaction
    if rows[0].family == "per-pair" and test:
        outcome = test.refused or f"p = {p_value(test.p_value)}, method labels permuted within a seed"
        notes.append(f"Do the differences depend on the pair? {outcome[0].upper()}{outcome[1:]}.")
    if any(row.batch_dependent for row in rows):
        notes.append(FLAG_NOTE)
    return notes


def _claim_table(found: Report) -> Table:
    body = [
        [
            row.statement,
            row.verdict,
            ", ".join(group_of(found, name.split(" + ")) for name in row.not_run),
        ]
        for row in found.claims
    ]
    notes = [
        "Shown: every interval begins above zero, and at the claimed size where the claim has one. Excluded: some "
        "interval ends below that. Possible: neither."
    ]
    return text_table("The paper's claims", ["Claim", "Verdict", "Not run"], body, notes, names=3)


def _printed_table(found: Report) -> Table:
    body = [
        [
            f"Table {row.table}" if isinstance(row.table, int) else row.table,
            title_of(found, row.method) if row.method else "Alone",
            group_of(found, row.backbones) if row.backbones else "not told",
            row.printed,
            interval(row.wilson),
            row.attainable,
            number(row.ours) if found.same_data_as_paper else "",
            interval(row.prediction_interval) if found.same_data_as_paper else "",
            row.verdict,
        ]
        for row in found.printed
    ]
    notes = [
        "Wilson: 95 % interval of the printed number for the noise of 3068 test images. As k/3068: whether some whole "
        "number of right images prints as it.",
        "Ours: mean over seeds; one more run falls inside the interval beside it in 95 of 100 cases. Reproduced: the "
        f"printed number lies in an interval of at most ±{2 * found.protocol.margin:g} points; compatible: in a "
        "wider one. The verdicts are not corrected for their number.",
    ]
    header = ["Where", "Method", "Networks", "Printed (%)", "Wilson (%)", "As k/3068", "Ours (%)", "One run (%)"]
    return text_table("The paper's printed numbers", [*header, "Verdict"], body, notes, names=3)


def _closing_table(found: Report) -> Table | None:
    """What closes the gap: printed numbers that are not reproduced, under other rules and readings."""
    open_rows = [row for row in found.printed if row.verdict == "not compatible"]
    body = [
        [
            f"{row.printed} {title_of(found, row.method) if row.method else 'alone'}",
            group_of(found, row.backbones) if row.backbones else "not told",
            title_of(found, other.method) + flag_of(found, other.method) if other.method else "Alone",
            other.selection.replace("_", " "),
            number(other.ours),
            interval(other.prediction_interval),
            other.verdict,
        ]
        for row in open_rows
        for other in row.otherwise
    ]
    if not body:
        return None
    header = ["Printed (%)", "Networks", "Run", "Selection", "Ours (%)", "One run (%)", "Verdict"]
    notes = [FLAG_NOTE] if any("†" in row[2] for row in body) else []
    return text_table("What closes the gap", header, body, notes, names=4)


def _choices_table(found: Report) -> Table | None:
    rows = found.protocol_choices
    if not rows:
        return None
    names = [method for method in found.methods if method in rows[0].verdicts]
    body = [
        [
            row.choice,
            *(f"{points(row.differences[name])} {row.verdicts[name]}" for name in names),
            names_of(found, row.changed) or "no",
        ]
        for row in rows
    ]
    notes = [
        "Seeds alone decide here (predictions of single images are kept for the validation-selected epoch only), so "
        "that the strongest words are those of this test set. Changed is against the first line.",
    ]
    header = ["Choice", *(title_of(found, name) for name in names), "Verdict changed"]
    title = f"{title_of(found, found.questions[0].method)} under other choices, in points"
    return text_table(title, header, body, notes, names=1)


def power_rows(found: Report) -> list[dict[str, Any]]:
    """Return what could be detected, and what open comparisons need; the exploratory families are left out."""
    shown = {"family", "method", "baseline", "n_seeds", "difference", "sd", "detectable_difference", "verdict"}
    rows = found.rows("primary", "paper", "best-single", "further", "readings")
    return [{**row.model_dump(include=shown), "advice": advice_text(found, row)} for row in rows]


GAINS = (0.5, 1.0, 2.0, 4.0)  # points


def look_rows(found: Report) -> list[dict[str, Any]]:
    """Return what each number of seeds would show, for the widest spread among the first question's comparisons."""
    spreads = [(row.sd, row) for row in found.rows("primary") if row.sd]
    if not spreads:
        return []
    sd, widest = max(spreads, key=lambda one: one[0])
    seeds, images, rest = widest.noise.shares or (0.0, 0.0, 0.0)
    floor = sd**2 / widest.n_seeds * images / (seeds + rest) if seeds + rest else 0.0
    return planned_chances(found.looks.planned, sd, floor, widest.family_size)


def planned_chances(plan: Sequence[int], sd: float, floor: float, comparisons: int) -> list[dict[str, Any]]:
    """Return the chance to read "better" for gains of 0.5, 1, 2 and 4 points, by number of seeds.

    Args:
        plan: planned looks; the numbers of seeds are theirs, or 5, 10 and 20 with one look each.
        sd: standard deviation over seeds of the difference, in points.
        floor: variance of the mean that the test images alone leave, in squared points.
        comparisons: those that share the level.

    Returns:
        Two rows for each number of seeds, on this test set and on other images too.
    """
    counts = list(plan) if len(plan) > 1 else sorted({*plan, 5, 10, 20})
    rows = []
    for n_seeds in (count for count in counts if count > 2):
        level = looks(plan if len(plan) > 1 else (n_seeds,), n_seeds).current.alpha / comparisons
        for where, images in (("this test set", 0.0), ("other images too", floor)):
            error = sqrt(sd**2 + n_seeds * images)
            chances = {f"+{size:g}": t_test_power(size, error, n_seeds, level) for size in GAINS}
            rows.append({"seeds": n_seeds, "on": where, **chances})
    return rows


def _power_table(found: Report) -> Table | None:
    rows = found.rows("primary", "paper", "best-single", "further")
    body = [
        [
            title_of(found, row.method),
            title_of(found, row.baseline),
            number(row.sd),
            "/".join(f"{100 * share:.0f}" for share in row.noise.shares),
            number(row.detectable_difference),
            number(row.chance_above),
            number(row.chance_gain),
            advice_text(found, row),
        ]
        for row in rows
    ]
    margin = found.protocol.margin
    notes = [
        "Noise: shares (%) of seeds, test images and the rest in the variance of the difference; the training images "
        "are the same for all seeds, and what others would do is not in it. Detectable: the true difference that these "
        "seeds show in 80 of 100 cases.",
        f"On a new seed: the chance that the method is above the baseline, and above it by {margin:g} points.",
        "Advice: for a difference as large as observed, with 80 % power; from 5 seeds on, outside the margin only.",
    ]
    header = ["Method", "Baseline", "Spread over seeds", "Noise (%)", "Detectable (points)", "P(above)", "P(gain)"]
    return text_table("What the noise is made of", [*header, "Advice"], body, notes, names=2) if body else None


def advice_text(found: Report, row: Compared) -> str:
    """Return which seeds or images would bring which verdict on an open comparison; nothing where none is advised."""
    advice = row.advice
    if not advice:
        return ""
    word = "better" if row.difference > 0 else "worse"
    effect = f'to read "{word}" at {advice.effect:.2f} points'
    if advice.images:
        return f"more test images, not seeds: about {advice.images} {effect}"
    low, high = (None if look is None else look - found.n_seeds for look in advice.seeds)
    seeds = f"{low}" if high == low else f"{low} to {high}" if high else f"{low} or many"
    return f"{seeds} more seeds {effect}"


def _optimism_table(found: Report) -> Table | None:
    body = [
        [
            title_of(found, name),
            points(row.difference),
            number(row.sd),
            str(row.n_seeds),
        ]
        for name in dict.fromkeys([*found.methods, *found.readings])
        for row in [found.selection_optimism[name]]
    ]
    notes = ["Accuracy of the best epoch on test minus that of the epoch chosen on validation, mean over pairs."]
    header = ["Method", "Optimism (points)", "Spread over seeds", "n"]
    return text_table("Selection optimism", header, body, notes, names=1) if body else None


def _single_models_table(found: Report) -> Table | None:
    """Counts over (pair, seed) of McNemar tests, with no p-value for their sum."""
    tests: dict[str, list[SingleModels]] = {}
    for row in found.single_models:
        tests.setdefault(row.baseline, []).append(row)
    alpha = found.protocol.alpha
    body = []
    for baseline, rows in tests.items():
        differing = [row for row in rows if row.p_value <= alpha]
        above = sum(row.only_method > row.only_baseline for row in differing)
        body.append([title_of(found, baseline), str(len(rows)), str(above), str(len(differing) - above)])
    notes = [f"McNemar's test at {alpha:g} between two trained models, by pair and seed: descriptive and never pooled."]
    subject = title_of(found, found.questions[0].method)
    header = [f"{subject} against", "Pairs of models", "Above", "Below"]
    return text_table("Single trained models", header, body, notes, names=1) if body else None
