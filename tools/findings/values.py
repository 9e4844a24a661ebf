"""The numbers that findings are written from: `findings.json`."""

from __future__ import annotations

from typing import Any

from benchmark.analysis.paper import read_paper
from benchmark.analysis.questions import PAPER, papers_family
from benchmark.analysis.report import Compared, Part, Report, rounded
from benchmark.ledger import Ledger
from tools.findings.contrasts import (
    Answer,
    Orders,
    answered,
    control_contrasts,
    evaluation_orders,
    order_contrasts,
    protocol_of,
    reading_contrasts,
)


class Findings(Part):
    """What `findings.json` holds: evaluation orders, readings, control arms, runs that were done again."""

    experiment: str
    ledger: str
    orders: list[Orders]
    order_contrasts: list[Answer]
    reading_contrasts: list[Answer]
    control_contrasts: list[Answer]
    repetitions: list[dict[str, Any]]


def findings_of(ledger: Ledger, found: Report) -> Findings:
    """Return what `findings.json` holds of a ledger."""
    protocol = protocol_of(found)
    return Findings(
        experiment=ledger.name,
        ledger=found.ledger,
        orders=evaluation_orders(ledger),
        order_contrasts=answered(order_contrasts(ledger), protocol),
        reading_contrasts=answered(reading_contrasts(ledger, found), protocol),
        control_contrasts=answered(control_contrasts(ledger, found), protocol),
        repetitions=rounded(ledger.repetitions),
    )


def claim_evidence(found: Report, claim_id: str) -> list[Compared]:
    """Return the comparisons of a report that a claim of the paper rests on."""
    test = next(claim["test"] for claim in read_paper().claims if claim["id"] == claim_id)
    family = papers_family(found.questions) if test["family"] == PAPER else test["family"]
    rows = found.rows(family, method=test["method"])
    if test["family"] == "best-pair":
        return rows
    return [row for row in rows if row.baseline in test["baselines"]]
