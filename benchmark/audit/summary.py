"""The audit's findings in one line a method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmark.audit.batch_dependence import DEPENDS, INDEPENDENT, Finding


def summarise(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return a row for every method: accuracy in percent by order, largest share changed, verdict."""
    rows = []
    for method in dict.fromkeys(finding.method for finding in findings):
        own = [finding for finding in findings if finding.method == method]
        depends = any(finding.verdict == DEPENDS for finding in own)
        orders = {
            name.replace("_", " "): 100 * float(np.mean([finding.accuracy[name] for finding in own]))
            for name in own[0].accuracy
        }
        rows.append(
            {
                "method": method,
                "runs": len(own),
                **orders,
                "batch averaged": 100 * float(np.mean([finding.batch_averaged_accuracy for finding in own])),
                "changed": 100 * float(np.mean([max(finding.changed.values()) for finding in own])),
                "verdict": DEPENDS if depends else INDEPENDENT,
                "declared": "yes" if own[0].declared else "no",
            }
        )
    return rows
