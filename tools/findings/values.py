"""The numbers that findings are written from: `findings.json`."""

from __future__ import annotations

from typing import Any

from benchmark.analysis.paper import read_paper
from benchmark.analysis.questions import PAPER, papers_family
from benchmark.analysis.report import rounded
from benchmark.config import Question
from benchmark.ledger import Ledger
from benchmark.reporting.wording import Values
from tools.findings.contrasts import (
    answered,
    control_contrasts,
    evaluation_orders,
    order_contrasts,
    protocol_of,
    reading_contrasts,
)


def findings_of(ledger: Ledger, found: Values) -> Values:
    """Return what `findings.json` holds of a ledger.

    Args:
        found: what `significance.json` holds of it.
    """
    protocol = protocol_of(found)
    values: dict[str, Any] = {
        "experiment": ledger.name,
        "ledger": found["ledger"],
        "orders": evaluation_orders(ledger),
        "order_contrasts": answered(order_contrasts(ledger), protocol),
        "reading_contrasts": answered(reading_contrasts(ledger, found), protocol),
        "control_contrasts": answered(control_contrasts(ledger, found), protocol),
        "repetitions": ledger.repetitions,
    }
    return {name: rounded(value) for name, value in values.items()}


def claim_evidence(found: Values, claim_id: str) -> list[Values]:
    """Return the comparisons of `significance.json` that a claim of the paper rests on."""
    test = next(claim["test"] for claim in read_paper().claims if claim["id"] == claim_id)
    asked = [Question(**question) for question in found["questions"]]
    family = papers_family(asked) if test["family"] == PAPER else test["family"]
    rows = [row for row in found["comparisons"] if (row["family"], row["method"]) == (family, test["method"])]
    if test["family"] == "best-pair":
        return rows
    return [row for row in rows if row["baseline"] in test["baselines"]]
