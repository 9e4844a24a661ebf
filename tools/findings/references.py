"""All committed ledgers side by side: docs/references.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TypeVar

from benchmark.analysis.facts import SELECTION, in_order
from benchmark.analysis.paper import read_paper
from benchmark.analysis.questions import PRIMARY
from benchmark.analysis.report import Compared, Report
from benchmark.config import base_name
from benchmark.ledger import Ledger, write_text
from benchmark.reporting.formats import to_markdown
from benchmark.reporting.readings import ORDERS
from benchmark.reporting.report import make_table
from benchmark.reporting.tables import Table, text_table
from benchmark.reporting.wording import points, signed_interval, title_of
from tools.findings.contrasts import Answer, Orders
from tools.findings.gained import Gains, write_gained
from tools.findings.values import Findings, claim_evidence, findings_of
from tools.findings.write import documents_environment, file_order, reference_ledgers, short_name, written_verdicts

Row = TypeVar("Row", Answer, Orders)
PAGE = Path("docs/references.md")


def write_references(results_dir: Path, reports_dir: Path, root: Path) -> list[Path]:
    """Write the page from every ledger below `results_dir/reference` and its figure; return the paths of both.

    Raises:
        UserError: the report of one is not of that ledger.
    """
    ledgers = reference_ledgers(results_dir)
    found = [written_verdicts(ledger, reports_dir) for ledger in ledgers]
    values = [findings_of(ledger, one) for ledger, one in zip(ledgers, found, strict=True)]
    claimed = next(claim.size for claim in found[0].claims if claim.size)
    figure = write_gained(_gains(found, values), claimed, reports_dir / "reference")
    text = (
        documents_environment()
        .get_template("references.md")
        .render(
            found=found,
            compared=to_markdown(_compared(ledgers, found)),
            claims=to_markdown(_claims(found)),
            file_orders=[(short_name(one), file_order(ledger)) for ledger, one in zip(ledgers, found, strict=True)],
            orders=to_markdown(_orders(found, values)),
            against_joint=to_markdown(_against_joint(found)),
            elsewhere=[to_markdown(make_table(7, ledger)) for ledger in ledgers if ledger.transfers],
            untrained=[to_markdown(make_table(6, ledger)) for ledger in ledgers],
        )
    )
    write_text(root / PAGE, text)
    return [root / PAGE, *figure]


def _gains(found: Sequence[Report], values: Sequence[Findings]) -> Gains:
    """Return what each order gains over the shuffled one, by reading and experiment."""
    gains: Gains = {}
    for one, told in zip(found, values, strict=True):
        for row in _by_reading(told.order_contrasts):
            gains.setdefault((title_of(one, row.method), short_name(one)), {})[row.about] = row
    return gains


def _compared(ledgers: Sequence[Ledger], found: Sequence[Report]) -> Table:
    """Return a line for each ledger: how good its networks are, and the differences of the first question."""
    asked = found[0].questions[0]
    header = ["Experiment", "Data", "Networks alone (%)", "Test images", "Seeds"]
    header += [f"Minus {title_of(found[0], name)}" for name in asked.against]
    body = []
    for ledger, one in zip(ledgers, found, strict=True):
        rows = {row.baseline: row for row in one.rows(PRIMARY)}
        body.append(
            [
                short_name(one),
                one.dataset_title,
                _alone(ledger, one),
                str(one.n_images),
                str(one.n_seeds),
                *(_difference(rows.get(name)) for name in asked.against),
            ]
        )
    title = f"{title_of(found[0], asked.method)} minus its baselines, in points"
    return replace(text_table(title, header, body, [], names=3), number="A")


def _alone(ledger: Ledger, found: Report) -> str:
    """Return the mean accuracy of each network of the main comparison, in words."""
    own: dict[str, list[float]] = {name: [] for name in ledger.experiment["main"]["backbones"]}
    for record in ledger.of_kind("backbone"):
        own.setdefault(record.backbones[0], []).append(100 * record.metrics[SELECTION]["accuracy"])
    return ", ".join(f"{title_of(found, name)} {fmean(values):.1f}" for name, values in own.items() if values)


def _difference(row: Compared | None) -> str:
    """Return a difference with the interval over seeds and images, that over seeds alone where there is no other."""
    if row is None:
        return ""
    ends = row.seeds_interval if None in row.images_interval else row.images_interval
    words = "" if None in ends else f" {signed_interval(ends)}"
    return f"{points(row.difference)}{words}, {row.verdict}"


def _against_joint(found: Sequence[Report]) -> Table:
    """Return a line for each method that is neither asked about nor a baseline of that, against joint fusion."""
    body = [
        [short_name(one), title_of(one, row.method), _difference(row)]
        for one in found
        for row in one.rows("further")
        if row.baseline == "joint"
    ]
    made = text_table(
        "Further methods minus joint fusion, in points",
        ["Experiment", "Method", "Minus joint fusion"],
        body,
        [],
        names=2,
    )
    return replace(made, number="D")


def _claims(found: Sequence[Report]) -> Table:
    """Return a line for each claim of the paper, and a column for each ledger."""
    said = [{claim.statement: claim.verdict for claim in one.claims if claim_evidence(one, claim.id)} for one in found]
    statements = [claim.statement for claim in found[0].claims]
    body = [[text, *(one.get(text) or "not tested" for one in said)] for text in statements]
    made = text_table("The paper's claims", ["Claim", *map(short_name, found)], body, [], names=1 + len(found))
    return replace(made, number="B")


def _orders(found: Sequence[Report], values: Sequence[Findings]) -> Table:
    """Return a line for each ledger and reading whose predictions depend on the batch, by evaluation order."""
    header = [
        "Experiment",
        "Reading",
        *(f"{words} (%)" for words in ORDERS.values()),
        "Seeds",
        "File order minus shuffled",
    ]
    body = []
    for one, told in zip(found, values, strict=True):
        gains = {row.method: row for row in told.order_contrasts if row.about == "file_order"}
        for row in _by_reading(told.orders):
            if row.depends and row.method in gains:
                gain = gains[row.method]
                accuracies = [f"{row.accuracy[order]:.2f}" for order in ORDERS]
                size = f"{points(gain.difference)} {signed_interval(gain.seeds_interval)}"
                body.append([short_name(one), title_of(one, row.method), *accuracies, str(gain.n_seeds), size])
    made = text_table("Readings whose predictions depend on the batch", header, body, [], names=2)
    return replace(made, number="C")


def _by_reading(rows: Sequence[Row]) -> list[Row]:
    """Return rows in the order in which the paper names their methods."""
    return in_order(rows, read_paper().readings, lambda row: base_name(row.method))
