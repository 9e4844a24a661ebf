"""The id of a run: a hash of all that determines its result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from benchmark.ledger.schema import SCHEMA

CODE_SCHEMA = 3  # raise when the same settings give other numbers
NO_WEIGHTS = "none"


def run_id_of(kind: str, identity: dict[str, Any], seed: int, parents: Sequence[str]) -> str:
    """Return the id of a run: the code's schema version, kind, seed, parents, and every setting that matters.

    A backbone's `identity` holds the digest of its initial weights (`none` for random ones) instead of their place.
    """
    value = {"code": CODE_SCHEMA, "schema": SCHEMA, "kind": kind, "seed": seed, "parents": list(parents), **identity}
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def run_label(method: str | None, backbones: Sequence[str], seed: int) -> str:
    """Return the line that names a run for people, planned or finished."""
    return " · ".join(filter(None, [method, "+".join(backbones), f"seed {seed}"]))
