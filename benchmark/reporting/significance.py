"""Is a gain real? The verdicts on a ledger: `significance.json` for tools, `significance.md` for people.

Everything is computed from the ledger with fixed generators: the same ledger gives the same bytes.
"""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

from benchmark.ledger import Ledger, write_json, write_text
from benchmark.reporting.accuracy import SELECTION
from benchmark.reporting.claims import claims, is_papers_data, printed_numbers, selection_optimism
from benchmark.reporting.comparisons import PROTOCOL, Protocol, all_contrasts, decide, to_json
from benchmark.reporting.evidence import Evidence, read_evidence
from benchmark.reporting.freshness import FORMAT, content_key
from benchmark.reporting.pages import significance_page
from benchmark.reporting.robustness import interaction, protocol_choices, single_models
from benchmark.reporting.standings import standings
from benchmark.reporting.wording import answer_sentence

FILES = ("significance.md", "significance.json")


def make_significance(ledger: Ledger, protocol: Protocol = PROTOCOL) -> dict[str, Any]:
    """Return what `significance.json` holds; differences in percentage points, accuracies in percent.

    Raises:
        UserError: the ledger's runs are incomplete, damaged or cannot be compared.
    """
    evidence = read_evidence(ledger)
    protocol = replace(protocol, test_share=evidence.test_share)
    decisions = decide(all_contrasts(evidence), protocol, evidence.batch_dependent)
    found: dict[str, Any] = {
        **_about(evidence, protocol),
        "comparisons": [to_json(decision) for decision in decisions],
        "standings": standings(evidence, protocol),
        "interaction": interaction(evidence, protocol),
        "claims": claims(evidence, decisions, protocol),
        "printed": printed_numbers(evidence, protocol),
        "protocol_choices": protocol_choices(evidence, protocol),
        "selection_optimism": selection_optimism(evidence, protocol),
        "single_models": single_models(evidence),
    }
    found = {name: rounded(value) for name, value in found.items()}
    return {**found, "answer": answer_sentence(found)}


def _about(evidence: Evidence, protocol: Protocol) -> dict[str, Any]:
    """Return what was compared, and by which rules."""
    data = evidence.ledger.experiment["dataset"]
    means = {method: float(evidence.correct(method).mean()) for method in evidence.methods}
    sound = [method for method in means if method not in evidence.batch_dependent]
    return {
        "format": FORMAT,
        "experiment": evidence.ledger.name,
        "profile": evidence.ledger.experiment["settings"]["profile"],
        "dataset": data["name"],
        "dataset_title": data["title"],
        "synthetic": data["synthetic"],
        "same_data_as_paper": is_papers_data(evidence),
        "n_images": evidence.n_images,
        "n_seeds": len(evidence.seeds),
        "selection": SELECTION,
        "questions": [question.model_dump() for question in evidence.questions],
        "missing": evidence.missing,
        "earlier_versions": _earlier_versions(evidence),
        "methods": evidence.methods,
        "readings": evidence.readings,
        "pairs": evidence.groups,
        "accuracy": {method: 100 * mean for method, mean in means.items()},
        "best": max(sound, key=lambda method: means[method]) if sound else None,
        "batch_dependent": sorted(evidence.batch_dependent),
        "titles": evidence.titles,
        "protocol": {
            "alpha": protocol.alpha,
            "confidence": protocol.confidence,
            "margin": protocol.margin,
            "resamples": protocol.n_resamples,
            "generator_seed": protocol.generator_seed,
            **({"test_share": protocol.test_share} if protocol.test_share else {}),
        },
        "ledger": content_key(evidence.ledger),
    }


def _earlier_versions(evidence: Evidence) -> dict[str, int]:
    """Return how many versions of a plug-in were tested before the present one, for each method that has any."""
    methods = dict.fromkeys(question.method for question in evidence.questions)
    found = {method: len(evidence.ledger.earlier_versions(method)) for method in methods}
    return {method: count for method, count in found.items() if count}


def write_significance(ledger: Ledger, reports_dir: Path, protocol: Protocol = PROTOCOL) -> list[Path]:
    """Write `reports_dir/<experiment>/significance.{md,json}` and return the paths.

    Raises:
        UserError: see `make_significance`; nothing is written then.
    """
    found = make_significance(ledger, protocol)
    folder = reports_dir / ledger.name
    folder.mkdir(parents=True, exist_ok=True)
    page, values = (folder / name for name in FILES)
    write_text(page, significance_page(found))
    write_json(values, found)
    return [page, values]


def rounded(value: Any) -> Any:
    """Keep six digits of every number, since what is beyond differs between processors; what is none becomes null."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    if isinstance(value, float):
        return float(f"{round(value, 9):.6g}") + 0.0 if isfinite(value) else None
    return value
