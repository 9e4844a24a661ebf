"""Tell whether a report's verdicts are those of a ledger, without computing them again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmark.analysis.report import Report
from benchmark.config import UserError
from benchmark.ledger import Ledger
from benchmark.ledger.files import REMEDY, read_json

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


def current_report(ledger: Ledger, significance: Path) -> Report | None:
    """Return what a `significance.json` holds that was made from this very ledger, None for any other.

    Raises:
        UserError: the file is damaged or was changed.
    """
    if not significance.is_file():
        return None
    values = read_json(significance)
    return parsed(values, significance) if values.get("ledger") == content_key(ledger) else None


def parsed(values: Mapping[str, Any], significance: Path) -> Report:
    """Return what a `significance.json` holds, typed.

    Raises:
        UserError: a field is missing, or is not what it should be.
    """
    try:
        return Report.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{significance} is damaged ({where}: {first['msg']}); {REMEDY}") from error


def current_answer(ledger: Ledger, significance: Path) -> str | None:
    """Return the answer of such a file."""
    report = current_report(ledger, significance)
    return report.answer if report else None
