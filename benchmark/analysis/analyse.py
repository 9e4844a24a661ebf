"""Everything that is computed from a ledger, in one call: the same ledger gives the same numbers."""

from __future__ import annotations

from benchmark.analysis.claims import claims, is_papers_data, printed_numbers, selection_optimism
from benchmark.analysis.comparisons import all_contrasts, decide, protocol_of, reported
from benchmark.analysis.evidence import Evidence, read_evidence
from benchmark.analysis.facts import SELECTION
from benchmark.analysis.freshness import FORMAT, content_key
from benchmark.analysis.report import LookTaken, Report, UsedProtocol
from benchmark.analysis.robustness import interaction, protocol_choices, single_models
from benchmark.analysis.standings import standings
from benchmark.ledger import Ledger
from benchmark.statistics.comparison import Protocol
from benchmark.statistics.looks import looks


def analyse(ledger: Ledger) -> Report:
    """Return the report of a ledger, but for the answer in words.

    Raises:
        UserError: the ledger's runs are incomplete, damaged or cannot be compared.
    """
    evidence = read_evidence(ledger)
    protocol = protocol_of(ledger, evidence.test_share)
    decisions = decide(all_contrasts(evidence), protocol, evidence.batch_dependent)
    data = ledger.experiment["dataset"]
    means = {method: float(evidence.correct(method).mean()) for method in evidence.methods}
    sound = [method for method in means if method not in evidence.batch_dependent]
    parts = {"test_share": protocol.test_share} if protocol.test_share else {}
    return Report(
        format=FORMAT,
        experiment=ledger.name,
        profile=ledger.experiment["settings"]["profile"],
        dataset=data["name"],
        dataset_title=data["title"],
        synthetic=data["synthetic"],
        same_data_as_paper=is_papers_data(evidence),
        n_images=evidence.n_images,
        n_seeds=len(evidence.seeds),
        selection=SELECTION,
        questions=evidence.questions,
        missing=evidence.missing,
        earlier_versions=_earlier_versions(evidence),
        methods=evidence.methods,
        readings=evidence.readings,
        pairs=evidence.groups,
        accuracy={method: 100 * mean for method, mean in means.items()},
        best=max(sound, key=lambda method: means[method]) if sound else None,
        batch_dependent=sorted(evidence.batch_dependent),
        titles=evidence.titles,
        protocol=UsedProtocol(alpha=protocol.alpha, margin=protocol.margin, **parts),
        looks=_looks(len(evidence.seeds), protocol),
        ledger=content_key(ledger),
        ledger_digest=ledger.experiment.get("digest"),
        comparisons=[reported(decision) for decision in decisions],
        standings=standings(evidence, protocol),
        interaction=interaction(evidence, protocol),
        claims=claims(evidence, decisions),
        printed=printed_numbers(evidence, protocol),
        protocol_choices=protocol_choices(evidence, protocol),
        selection_optimism=selection_optimism(evidence),
        single_models=single_models(evidence),
    )


def _looks(n_seeds: int, protocol: Protocol) -> LookTaken:
    """Return where the experiment stands in its plan of looks."""
    plan = protocol.looks or (n_seeds,)
    at = looks(plan, n_seeds, alpha=protocol.alpha)
    return LookTaken(
        planned=list(plan),
        current=at.current.n_seeds,
        alpha=at.current.alpha,
        reached=at.reached,
        next=at.following.n_seeds,
    )


def _earlier_versions(evidence: Evidence) -> dict[str, int]:
    """Return how many versions of a plug-in were tested before the present one, for each method that has any."""
    methods = dict.fromkeys(question.method for question in evidence.questions)
    found = {method: len(evidence.ledger.earlier_versions(method)) for method in methods}
    return {method: count for method, count in found.items() if count}
