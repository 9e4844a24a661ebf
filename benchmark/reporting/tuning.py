"""Default against tuned settings: what tuning gained on test images that it never saw, and what it changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from benchmark.analysis.evidence import Evidence, read_evidence
from benchmark.config import UserError
from benchmark.ledger import Ledger, write_json, write_text
from benchmark.reporting.accuracy import data_name
from benchmark.reporting.formats import escape_markdown
from benchmark.reporting.significance import make_significance
from benchmark.reporting.tables import mean_and_sd
from benchmark.statistics.paired import paired_t_test, stretched

FILES = ("tuning.md", "tuning.json")


@dataclass(frozen=True)
class Gain:
    """A method with its default and its tuned settings; accuracies in percent, by seed, mean over pairs.

    Attributes:
        search: what the file of its tuned values says, None for a method that was not tuned.
        difference, interval: tuned minus default on test, and its 95 % t interval over seeds.
    """

    method: str
    title: str
    search: Mapping[str, Any] | None
    default: list[float]
    tuned: list[float]
    difference: float
    interval: tuple[float, float]


def write_tuning_table(
    default: Ledger, tuned: Ledger, searches: Mapping[str, Mapping[str, Any]], reports_dir: Path
) -> str:
    """Write `reports_dir/<tuned experiment>/tuning.{md,json}` and return the Markdown.

    Args:
        searches: what was chosen and with which budget, by method.

    Raises:
        UserError: the two experiments share no method, or one of them is incomplete.
    """
    gains = tuning_gains(read_evidence(default), read_evidence(tuned), searches)
    verdicts = {name: _primary_verdicts(ledger) for name, ledger in (("default", default), ("tuned", tuned))}
    folder = reports_dir / tuned.name
    folder.mkdir(parents=True, exist_ok=True)
    text = _page(tuned, gains, verdicts)
    write_text(folder / FILES[0], text)
    rows = [{**vars(gain), "search": dict(gain.search or {})} for gain in gains]
    write_json(folder / FILES[1], {"methods": rows, "primary": verdicts})
    return text


def tuning_gains(default: Evidence, tuned: Evidence, searches: Mapping[str, Mapping[str, Any]]) -> list[Gain]:
    """Return what tuning gained, for every method that both experiments have, paired by seed.

    Raises:
        UserError: they share no method or no seed.
    """
    methods = [method for method in tuned.methods if method in default.methods]
    seeds = [seed for seed in tuned.seeds if seed in default.seeds]
    if not methods or not seeds or default.groups != tuned.groups:
        raise UserError("default and tuned experiment have other methods, seeds or pairs; run both on the same ones")
    return [_gain(method, (default, tuned), seeds, searches.get(method)) for method in methods]


def _gain(method: str, both: tuple[Evidence, Evidence], seeds: list[int], search: Mapping[str, Any] | None) -> Gain:
    default, tuned = (_by_seed(evidence, method, seeds) for evidence in both)
    gains = np.array(tuned) - np.array(default)
    share = both[0].test_share
    test = paired_t_test(stretched(gains, share) if share else gains)
    return Gain(method, both[1].titles[method], search, default, tuned, test.mean, test.interval)


def _by_seed(evidence: Evidence, method: str, seeds: list[int]) -> list[float]:
    means = dict(zip(evidence.seeds, evidence.metric(method).mean(axis=0).tolist(), strict=True))
    return [means[seed] for seed in seeds]


def _primary_verdicts(ledger: Ledger) -> dict[str, str]:
    """Return the verdict on the first question's method against each baseline."""
    found = make_significance(ledger)
    return {row.baseline: row.verdict for row in found.rows("primary", method=found.questions[0].method)}


def _page(ledger: Ledger, gains: list[Gain], verdicts: Mapping[str, Mapping[str, str]]) -> str:
    header = [
        "Method",
        "On validation (%)",
        "Default on test (%)",
        "Tuned on test (%)",
        "Gain (points)",
    ]
    body = [
        [
            escape_markdown(gain.title),
            _on_validation(gain.search),
            _mean_and_spread(gain.default),
            _mean_and_spread(gain.tuned),
            f"{gain.difference:+.2f}",
            f"[{gain.interval[0]:+.2f}, {gain.interval[1]:+.2f}]" if len(gain.default) > 1 else "",
            _values(gain.search),
        ]
        for gain in gains
    ]
    grid = tabulate(body, headers=[*header, "95 % t interval", "Chosen"], tablefmt="pipe", disable_numparse=True)
    seeds = len(gains[0].default)
    notes = [
        "Chosen on validation images alone; test images were first seen when the tuned runs were reported.",
        f"± is the sample standard deviation over {seeds} seeds (ddof = 1) of means over pairs; gains pair seeds.",
        *_budget_notes(gains),
        _verdict_note(verdicts),
    ]
    lines = "\n".join(f"- {note}" for note in notes)
    return f"**Default against tuned settings on {data_name(ledger)}**\n\n{grid}\n\n{lines}\n"


def _mean_and_spread(percent: list[float]) -> str:
    mean, sd = mean_and_sd(percent)
    return f"{mean:.2f}" if sd is None else f"{mean:.2f} ± {sd:.2f}"


def _on_validation(search: Mapping[str, Any] | None) -> str:
    if search is None:
        return "not tuned"
    return f"{100 * search['default_validation_accuracy']:.2f} → {100 * search['validation_accuracy']:.2f}"


def _values(search: Mapping[str, Any] | None) -> str:
    chosen = {**search["settings"], **search["stage"]} if search else {}
    return ", ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in chosen.items()
    )


def _budget_notes(gains: list[Gain]) -> list[str]:
    budgets = {_budget(gain.search["budget"]) for gain in gains if gain.search}
    left = [gain.title for gain in gains if gain.search is None]
    notes = [f"Each tuned method had {' or '.join(sorted(budgets))}."] if budgets else []
    return [*notes, f"Not tuned, and at its default in both columns: {', '.join(left)}."] if left else notes


def _budget(budget: Mapping[str, Any]) -> str:
    return f"{budget['studies']} studies of {budget['trials']} trials of up to {budget['epochs_per_trial']} epochs"


def _verdict_note(verdicts: Mapping[str, Mapping[str, str]]) -> str:
    """Say whether the verdicts on the first question change."""
    default, tuned = verdicts["default"], verdicts["tuned"]
    shared = [baseline for baseline in default if baseline in tuned]
    if not shared:
        return "No primary comparison is in both experiments."
    changed = [f"against {name}: {default[name]} → {tuned[name]}" for name in shared if default[name] != tuned[name]]
    words = "; ".join(changed) if changed else f"none of {len(shared)} changes"
    return f"Verdicts on the question: {words}."
