"""The verdict on results from anywhere in words, as a table, and as a forest figure."""

from __future__ import annotations

from dataclasses import asdict, replace
from math import isnan
from pathlib import Path
from typing import Any

from benchmark.analysis.judging import Judged, Judgement, Printed
from benchmark.analysis.outside import ONE
from benchmark.analysis.report import rounded
from benchmark.ledger import write_json, write_text
from benchmark.reporting.formats import render
from benchmark.reporting.tables import Table, text_table
from benchmark.reporting.wording import counted, listed, number, p_value, points, signed_interval
from benchmark.statistics.comparison import Comparison
from benchmark.statistics.verdicts import EQUAL, HERE, NOT_YET, OPEN, ORDER, VERDICTS, WITHIN

PHRASES = {
    "better": "is better than",
    "worse": "is worse than",
    EQUAL: "is practically equal to",
    OPEN: "shows no significant difference from",
    NOT_YET: "has no verdict yet against",
}
SETS = {"all": "on all of them", "some": "on some of them", "none": "on none of them"}
FILES = {"md": "markdown", "tex": "latex", "csv": "csv"}


def answer(found: Judgement) -> str:
    """Return the verdict in sentences: one for each data set, and one over several."""
    sets = list(dict.fromkeys(row.dataset for row in found.rows))
    sentences = [_on_one(found, [row for row in found.rows if row.dataset == name]) for name in sets]
    if found.over_sets:
        said = [f"{baseline} {SETS[where]}" for baseline, where in found.over_sets.items()]
        different = found.n_sets or len(sets)
        over = "data sets" if different == len(sets) else f"experiments, on {counted(different, 'data set')},"
        sentences.append(f"Over the {len(sets)} {over} {found.method} is better than {listed(said)}")
    return ". ".join(sentences) + "."


def _on_one(found: Judgement, rows: list[Judged]) -> str:
    where = "" if rows[0].dataset == ONE else f"On {rows[0].dataset} "
    if rows[0].test is None:
        parts = [_of_models(row) for row in rows]
        return f"{where}{found.method} {'; '.join(parts)}"
    ordered = sorted(rows, key=lambda row: VERDICTS.index(row.test.verdict) if row.test else 0)
    groups: dict[str, list[str]] = {}
    for row in ordered:
        assert row.test is not None
        groups.setdefault(row.test.verdict, []).append(f"{row.baseline} ({_size(row.test, ordered[0].test)})")
    parts = [_phrase(word, listed(names), found.protocol.margin, rows) for word, names in groups.items()]
    together = f", {counted(len(rows), 'comparison')} together" if len(rows) > 1 else ""
    open_rows = [row.test.bounds[1] for row in rows if row.test and row.test.verdict == OPEN]
    known = ""
    if open_rows and not isnan(max(open_rows)):
        known = f". A gain above {max(max(open_rows), 0):.2f} points is excluded"
        known += " where it is open" if len(open_rows) < len(rows) else ""
    return f"{where}{found.method} {'; '.join(parts)}{together}{known}"


def _phrase(verdict: str, names: str, margin: float, rows: list[Judged]) -> str:
    word = next(word for word in PHRASES if verdict.startswith(word))
    rest = verdict.removeprefix(word).replace("the margin", f"{margin:g} points")
    if verdict == NOT_YET:
        rest = f", {counted(min(min(row.seeds) for row in rows), 'seed')} being too few"
    return f"{PHRASES[word]} {names}{rest}"


def _size(test: Comparison, first: Comparison | None) -> str:
    """Return a difference with the interval that its verdict was read off, in words for the first one."""
    ends = test.seeds_interval if HERE in test.verdict or ORDER in test.verdict else test.bounds
    if isnan(ends[0]) or test.verdict == NOT_YET:
        return f"{points(test.mean)}{' points' * (test is first)}"
    level = _level(test)
    words = "" if first is not None and test is not first and level == _level(first) else f" points, {level} % interval"
    return f"{points(test.mean)}{words or ','} {points(ends[0])} to {points(ends[1])}"


def _level(test: Comparison) -> int:
    return 90 if test.verdict.startswith(EQUAL) or test.verdict.endswith(WITHIN) else 95


def _of_models(row: Judged) -> str:
    difference = points(row.accuracies[0] - row.accuracies[1])
    if row.models is None:
        return f"scores {difference} points over {row.baseline} in one run of each, of which nothing can be tested"
    told = "differs" if row.models.p_value <= 0.05 else "does not differ significantly"
    p = f"McNemar's {row.models.variant} test, p = {p_value(row.models.p_value)}".replace("= <", "<")
    return f"{told} from {row.baseline} as a trained model ({difference} points; {p})"


def judgement_table(found: Judgement) -> Table:
    """Return a line for each data set and baseline."""
    several = len({row.dataset for row in found.rows}) > 1
    images = any(row.test and not isnan(row.test.images_interval[0]) for row in found.rows)
    header = [*["Data"] * several, "Method", "Baseline", "Method (%)", "Baseline (%)", "Seeds", "Difference (points)"]
    header += ["Over seeds", *["Seeds × images"] * images, "p (adjusted)", "Verdict"]
    body = [[*[row.dataset] * several, *_cells(row, images)] for row in found.rows]
    title = f"{found.method} against its baselines"
    made = text_table(title, header, body, [*table_notes(found)], names=2 + several)
    return replace(made, number="J")


def _cells(row: Judged, images: bool) -> list[str]:
    seeds = str(row.seeds[0]) if row.seeds[0] == row.seeds[1] else f"{row.seeds[0]} and {row.seeds[1]}"
    first = [
        row.method,
        row.baseline,
        *map(number, row.accuracies),
        seeds,
        points(row.accuracies[0] - row.accuracies[1]),
    ]
    if row.test is None:
        p = p_value(row.models.p_value) if row.models else ""
        return [*first, "", *[""] * images, p, "of these two trained models" if row.models else "not tested"]
    intervals = [row.test.seeds_interval, *[row.test.images_interval] * images]
    shown = ["" if isnan(ends[0]) else signed_interval(ends) for ends in intervals]
    return [*first, *shown, "" if isnan(row.test.p_adjusted) else p_value(row.test.p_adjusted), row.test.verdict]


def table_notes(found: Judgement) -> list[str]:
    """Return how the verdicts came about, and what the evidence cannot tell."""
    notes = [f"{note[0].upper()}{note[1:]}." for note in found.notes]
    tests = [row.test for row in found.rows if row.test]
    if not tests:
        return notes
    levels: dict[str, dict[str, None]] = {}
    for row in found.rows:
        if row.test:
            plan = found.looks.get(row.dataset, found.protocol.looks)
            looks = f"planned looks {', '.join(map(str, plan))}" if plan else "one look"
            levels.setdefault(f"{100 * (1 - row.test.alpha):g} % ({looks})", {})[row.dataset] = None
    level = next(iter(levels)) if len(levels) == 1 else ""
    level = level or listed([f"{text} on {listed(list(sets))}" for text, sets in levels.items()])
    ways = sorted({"paired" if row.paired else "unpaired" for row in found.rows})
    notes.insert(
        0,
        f"Seeds are {' and '.join(ways)}; both intervals hold for all comparisons of a data set together, at "
        f"{level}; differences within ±{found.protocol.margin:g} points count as "
        "none.",
    )
    if all(isnan(test.images_interval[0]) for test in tests):
        notes.append("Without predictions by image the verdicts are about this test set alone.")
    return notes


def printed_answer(found: Printed) -> str:
    """Return what two printed accuracies alone can say."""
    lines = []
    for place, text in enumerate(found.printed):
        low, high = found.wilson[place]
        share = {"rounded": "is", "cut off": "is (cut off, not rounded)", "no": "is NOT"}[found.attainable[place]]
        batches = (
            ""
            if found.attainable[place] != "no" or found.as_batches[place] == "no"
            else ", but a mean over batches can print it"
        )
        lines.append(
            f"{text} % {share} a share of {found.n_images} images{batches}; their noise alone gives "
            f"{low:.2f} to {high:.2f} %."
        )
    low, high = found.interval
    told = "can explain it" if low <= 0 <= high else "cannot explain it"
    lines += [
        f"The difference is {points(found.difference)} points, 95 % interval {points(low)} to {points(high)} for the "
        f"noise of the test images: that noise {told}.",
        f"Choosing the best of ten runs is worth about {found.best_of_ten:.2f} points where runs are as noisy as "
        "images; a fault or a leak can be worth anything.",
        "To know more: how many seeds each number has and how they scatter, whether both saw the same test images, "
        "and by which rule epoch and settings were chosen.",
    ]
    return "\n".join(lines)


def judgement_json(found: Judgement) -> dict[str, Any]:
    """Return the verdict for machines; what is not there is null."""
    rows = [
        {
            **{name: value for name, value in asdict(row).items() if name != "test"},
            **(asdict(row.test) if row.test else {}),
        }
        for row in found.rows
    ]
    values = {"method": found.method, "answer": answer(found), "over_sets": found.over_sets, "notes": found.notes}
    kept: dict[str, Any] = rounded(
        {**values, "margin": found.protocol.margin, "looks": found.protocol.looks, "rows": rows}
    )
    return kept


def write_judgement(found: Judgement, folder: Path) -> list[Path]:
    """Write judge.{md,tex,csv,json} and the forest figure into a folder and return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    table = judgement_table(found)
    paths = []
    for suffix, table_format in FILES.items():
        text = render(table, table_format)
        path = folder / f"judge.{suffix}"
        write_text(path, f"{answer(found)}\n\n{text}" if suffix == "md" else text)
        paths.append(path)
    write_json(folder / "judge.json", judgement_json(found))
    paths.append(folder / "judge.json")
    if any(row.test for row in found.rows):
        paths += _write_forest(found, folder)
    return paths


def _write_forest(found: Judgement, folder: Path) -> list[Path]:
    from benchmark.reporting.figures.forest import Block, Line, draw_forest
    from benchmark.reporting.figures.saving import save_charts
    from benchmark.reporting.figures.style import Chart, drawn

    blocks: dict[str, list[Line]] = {}
    for row in found.rows:
        if row.test:
            ends = [() if isnan(one[0]) else one for one in (row.test.seeds_interval, row.test.images_interval)]
            line = Line(row.baseline, row.test.mean, ends[0], ends[1], row.test.verdict)
            blocks.setdefault(row.dataset, []).append(line)
    titled = [
        Block(f"{found.method} against" if name == ONE else f"{found.method} on {name} against", lines)
        for name, lines in blocks.items()
    ]
    height = 1.0 + 0.2 * (len(found.rows) + 1.6 * len(titled))
    about = "Thick: over seeds; thin: over seeds and images; grey: differences that count as none."
    figure = drawn(lambda one: draw_forest(one.subplots(), titled, found.protocol.margin), height, about)
    save_charts({"judge": Chart(about, answer(found), figure)}, folder)
    return [folder / f"judge.{suffix}" for suffix in ("svg", "pdf", "png")]
