"""Tell whether a report's verdicts are those of a ledger, without computing them again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from benchmark.ledger import Ledger
from benchmark.ledger.files import read_json

FORMAT = 4


def content_key(ledger: Ledger) -> str:
    """Hash what verdicts depend on: runs, accuracies, questions, data, versions of plug-ins, the audit's findings."""
    runs = [
        [record.run_id, record.batch_dependent, {rule: values["accuracy"] for rule, values in record.metrics.items()}]
        for record in ledger.records
    ]
    known = ledger.experiment
    asked = [known["main"], known["settings"]["seeds"], known["dataset"], known["settings"].get("questions", [])]
    asked.append(known["settings"].get("statistics", {}))
    versions = [sorted(known.get("plugins", {})), sorted(record.run_id for record in ledger.aside)]
    found = {finding["run_id"]: finding["verdict"] for finding in ledger.audit}
    text = json.dumps([FORMAT, runs, asked, versions, found], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def current_values(ledger: Ledger, significance: Path) -> dict[str, Any] | None:
    """Return what a `significance.json` holds that was made from this very ledger, None for any other.

    Raises:
        UserError: the file is damaged or was changed.
    """
    if not significance.is_file():
        return None
    values = read_json(significance)
    return values if values.get("ledger") == content_key(ledger) else None


def current_answer(ledger: Ledger, significance: Path) -> str | None:
    """Return the answer of such a file."""
    values = current_values(ledger, significance)
    return str(values["answer"]) if values else None
