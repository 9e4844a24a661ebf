"""The gate before the data: every experiment's images are checked once, and its errors stop it."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.config import DataSettings, UserError, nearest
from benchmark.data.gate import codes, counts, duplicates, images, order, persons, swaps, unused
from benchmark.data.gate.findings import Finding, Subject
from benchmark.data.manifest import Manifest
from benchmark.data.memory import write_whole
from benchmark.data.store import image_facts

logger = logging.getLogger(__name__)
VERSION = 3  # raise when the same data give other findings
CHECKS: tuple[Callable[[Subject], Iterable[Finding]], ...] = (
    counts.check_counts,
    images.check_images,
    duplicates.check_duplicates,
    persons.check_persons,
    order.check_order,
    swaps.check_swaps,
)
PARTS_OF_THE_GATE = (unused, codes, counts, images, duplicates, persons, order, swaps)
CODES = tuple(code for checks in PARTS_OF_THE_GATE for code in checks.CODES)


@dataclass(frozen=True)
class Report:
    """What the gate says of a data set.

    Attributes:
        is_new: whether it was made by this call, and not read.
        accepted: codes of findings that stop nothing.
    """

    findings: tuple[Finding, ...]
    is_new: bool
    accepted: tuple[str, ...] = ()

    @property
    def stopping(self) -> list[Finding]:
        """The errors that are not accepted."""
        return [one for one in self.findings if one.severity == "error" and one.code not in self.accepted]

    def to_json(self) -> list[dict[str, Any]]:
        """Return the findings, each with whether it is accepted."""
        return [{**asdict(one), "accepted": one.code in self.accepted} for one in self.findings]


def check_data(manifest: Manifest, data: DataSettings, data_dir: Path) -> Report:
    """Return the findings about a data set, from memory where the same data were checked before.

    Raises:
        UserError: a finding is accepted that does not exist, or no image can be read at all.
    """
    for code in data.accept:
        if code not in CODES:
            raise UserError(f"--accept {code}: there is no such finding; {nearest(code, CODES)}")
    digest = manifest.content_digest(data_dir / "store")
    remembered = data_dir / "store" / f"{digest}-{data.split}-gate{VERSION}.json"
    accepted = tuple(data.accept)
    of_the_folder = (*unused.check_unused(manifest), *codes.check_codes(manifest))
    beside = tuple(one.of_one() for one in of_the_folder)
    if remembered.is_file():
        rows = json.loads(remembered.read_text(encoding="utf-8"))["findings"]
        found = tuple(Finding(**{**row, "examples": tuple(row["examples"])}) for row in rows)
        return Report((*beside, *found), False, accepted)
    facts = image_facts(manifest, data.image_size, data_dir)
    subject = Subject(manifest, facts, data.split)
    findings = sorted((one.of_one() for check in CHECKS for one in check(subject)), key=lambda one: one.severity)
    _write_hashes(manifest, facts, data_dir / "store" / f"{digest}.sha256")
    content = {"dataset": manifest.dataset, "digest": digest, "findings": [asdict(one) for one in findings]}
    write_whole(remembered, json.dumps(content, indent=1).encode())
    return Report((*beside, *findings), True, accepted)


def pass_gate(manifest: Manifest, data: DataSettings, data_dir: Path) -> None:
    """Let data pass that have no errors but accepted ones; warnings and terms are said when the data are new.

    Raises:
        UserError: there are errors that are not accepted.
    """
    report = check_data(manifest, data, data_dir)
    if report.stopping:
        found = "; ".join(
            f"{one.code}: {one.count} {one.message}" + f", first {one.examples[0]}" * bool(one.examples)
            for one in report.stopping
        )
        codes = " ".join(one.code for one in report.stopping)
        way = shlex.join(["ferfuse", "data", "check", *(["--data-root", str(data.root)] if data.root else [])])
        raise UserError(
            f"{manifest.title} does not pass the gate ({found}); see `{way}`, mend the data, or "
            f"run on them as they are by --accept {codes}"
        )
    if report.is_new:
        logger.warning("%s: %s", manifest.title, manifest.origin.terms)
        for one in report.findings:
            logger.warning("%s in the data: %s: %s %s", one.severity, one.code, one.count, one.message)


def describe_data(manifest: Manifest, data: DataSettings, data_dir: Path) -> dict[str, Any]:
    """Return what an experiment keeps about its data: how they were read, their terms, and the findings."""
    origin = manifest.origin
    return {
        "format": origin.format,
        "split": data.split,
        "parts": origin.parts,
        "mapping": origin.mapping,
        "terms": origin.terms,
        "notes": list(origin.notes),
        "findings": check_data(manifest, data, data_dir).to_json(),
    }


def _write_hashes(manifest: Manifest, facts: np.ndarray, path: Path) -> None:
    """Write the SHA-256 of every file, as sha256sum does."""
    lines = (f"{sha.decode()}  {name}\n" for sha, name in zip(facts["sha256"], manifest.image_ids, strict=True))
    write_whole(path, "".join(lines).encode())
