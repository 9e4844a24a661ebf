"""Everything that is computed from a ledger, in one call: the same ledger gives the same numbers."""

from __future__ import annotations

from math import isfinite
from typing import Any

from benchmark.analysis.claims import claims, is_papers_data, printed_numbers, selection_optimism
from benchmark.analysis.comparisons import all_contrasts, decide, to_json
from benchmark.analysis.evidence import Evidence, read_evidence
from benchmark.analysis.facts import SELECTION
from benchmark.analysis.freshness import FORMAT, content_key
from benchmark.analysis.robustness import interaction, protocol_choices, single_models
from benchmark.analysis.standings import standings
from benchmark.ledger import Ledger
from benchmark.statistics.comparison import Protocol
from benchmark.statistics.looks import looks


def protocol_of(ledger: Ledger, test_share: float = 0.0) -> Protocol:
    """Return the protocol that an experiment was planned with; older ones planned one look, at their seeds."""
    settings = ledger.experiment["settings"]
    planned = settings.get("statistics", {})
    plan = planned.get("looks") or [settings["seeds"]]
    return Protocol(margin=planned.get("margin", Protocol.margin), looks=tuple(plan), test_share=test_share)


def analyse(ledger: Ledger) -> dict[str, Any]:
    """Return what `significance.json` holds but the answer; differences in percentage points, accuracies in percent.

    Raises:
        UserError: the ledger's runs are incomplete, damaged or cannot be compared.
    """
    evidence = read_evidence(ledger)
    protocol = protocol_of(ledger, evidence.test_share)
    decisions = decide(all_contrasts(evidence), protocol, evidence.batch_dependent)
    found: dict[str, Any] = {
        **_about(evidence, protocol),
        "comparisons": [to_json(decision) for decision in decisions],
        "standings": standings(evidence, protocol),
        "interaction": interaction(evidence, protocol),
        "claims": claims(evidence, decisions),
        "printed": printed_numbers(evidence, protocol),
        "protocol_choices": protocol_choices(evidence, protocol),
        "selection_optimism": selection_optimism(evidence),
        "single_models": single_models(evidence),
    }
    return {name: rounded(value) for name, value in found.items()}


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
            "margin": protocol.margin,
            **({"test_share": protocol.test_share} if protocol.test_share else {}),
        },
        "looks": _looks(len(evidence.seeds), protocol),
        "ledger": content_key(evidence.ledger),
        "ledger_digest": evidence.ledger.experiment.get("digest"),
    }


def _looks(n_seeds: int, protocol: Protocol) -> dict[str, Any]:
    """Return where the experiment stands in its plan of looks."""
    plan = protocol.looks or (n_seeds,)
    at = looks(plan, n_seeds, alpha=protocol.alpha)
    return {
        "planned": plan,
        "current": at.current.n_seeds,
        "alpha": at.current.alpha,
        "reached": at.reached,
        "next": at.following.n_seeds,
    }


def _earlier_versions(evidence: Evidence) -> dict[str, int]:
    """Return how many versions of a plug-in were tested before the present one, for each method that has any."""
    methods = dict.fromkeys(question.method for question in evidence.questions)
    found = {method: len(evidence.ledger.earlier_versions(method)) for method in methods}
    return {method: count for method, count in found.items() if count}


def rounded(value: Any) -> Any:
    """Keep six digits of every number, since what is beyond differs between processors; what is none becomes null."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    if isinstance(value, float):
        return float(f"{round(value, 9):.6g}") + 0.0 if isfinite(value) else None
    return value
