"""Which numbers stand in a document, and which may: those of a ledger, of a measurement, of the paper, a few kinds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark.analysis.paper import read_paper
from benchmark.audit.batch_dependence import TOLERANCE
from benchmark.config import load_config
from benchmark.ledger import Ledger
from benchmark.reporting.page.provenance import provenance
from benchmark.statistics.comparison import Protocol
from tools.findings.measured import MARKED as FIGURES
from tools.findings.write import MARKED

NUMBER = re.compile(r"(?<![\w.#])[+\-−]?\d+(?:[.,]\d+)*(?!\w)")
NO_PROSE = (
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE),
    re.compile(r"`[^`\n]*`"),
    re.compile(r"\]\([^)]*\)"),
    re.compile(r"</?(?:picture|source|img)[^>]*>"),
)
# What is no result: each with why it may stand there.
KINDS = {
    "number of a table": r"\bTables? S?\d(?:(?:, | and | to )S?\d)*",
    "number of a formula": r"\bformula \(\d\)",
    "version of Python": r"\b3\.1\d\b",
    "year of a source": r"\b[A-Z][a-z]+ (?:19|20)\d\d\b",
    "licence": r"\bApache-2\.0\b",
    "width that VGG's own classifier has": r"\b4096-wide\b",
    "margin of the protocol": rf"±{Protocol.margin:g} points",
    "confidence of the protocol": rf"\b{100 * (1 - Protocol.alpha):g} %",
    "tolerance of the audit": rf"\b{100 * TOLERANCE:g} % of the scores' spread",
    "default of --checkpoint-seconds": r"\bat most every 20 seconds\b",
}


def numbers(text: str) -> list[str]:
    """Return the numbers in the prose and the tables of a Markdown document; code, links and comments are none."""
    for pattern in NO_PROSE:
        text = pattern.sub(" ", text)
    return NUMBER.findall(text)


def written_by_hand(text: str) -> str:
    """Return a document without the part that `make findings` writes."""
    return MARKED.sub("", text)


def unfounded(text: str) -> list[str]:
    """Return the numbers of a text written by hand that are neither measured nor the paper's, and of no known kind."""
    for pattern in (FIGURES, *NO_PROSE):
        text = pattern.sub(" ", text)
    for pattern in KINDS.values():
        text = re.sub(pattern, " ", text)
    return [number for number in NUMBER.findall(text) if number not in papers_numbers()]


def papers_numbers() -> set[str]:
    """What `benchmark/paper.toml` holds: printed numbers, and the sizes of claims."""
    paper = read_paper()
    printed = {*paper.backbones.values(), *paper.fusion.values(), *(value for _, value in paper.text)}
    claimed = {f"{claim['test']['size']:g}" for claim in paper.claims if "size" in claim["test"]}
    stated = {number for claim in paper.claims for number in numbers(claim["statement"])}
    return printed | claimed | stated | {str(paper.n_test)}


def protocols_numbers() -> set[str]:
    """The settings of the profile that follows the paper, and how many runs it has."""
    settings = load_config("paper")
    runs = [len(settings.backbones), len(settings.methods) * len(settings.branch_groups())]
    sizes = [settings.data.image_size, settings.backbone_stage.epochs, settings.seeds]
    return {str(size) for size in [*sizes, *(settings.seeds * count for count in runs)]}


def ledgers_numbers(ledger: Ledger, report: Path) -> set[str]:
    """Every number of a ledger and of its report, as documents write it."""
    found: set[str] = set()
    for path in report.glob("*.md"):
        found.update(NUMBER.findall(path.read_text(encoding="utf-8")))
    for term, value in provenance(ledger):
        found.update(NUMBER.findall(f"{term} {value}"))
    content = [json.loads((report / name).read_text()) for name in ("significance.json", "findings.json")]
    known = ledger.experiment
    for value in leaves([*content, known["settings"], known["dataset"]["title"], known.get("data", {})]):
        if isinstance(value, str):
            found.update(NUMBER.findall(value))
        else:
            found.update({f"{value:g}", f"{value:.2f}", f"{value:+.2f}", f"{abs(value):.2f}", f"{value:.4f}"})
    return found | {f"{100 * (1 - Protocol.alpha):g}", "0.0001"}


def leaves(value: Any) -> Iterator[float | str]:
    """Yield the numbers and texts of a JSON value, and the length of every list."""
    if isinstance(value, dict):
        yield len(value)
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        yield len(value)
        for inner in value:
            yield from leaves(inner)
    elif isinstance(value, int | float | str) and not isinstance(value, bool):
        yield value
