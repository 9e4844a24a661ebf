"""The page of a report is written from the ledger and its verdicts, figures beside it and in it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from benchmark.analysis.report import Report
from benchmark.ledger import Ledger, write_text
from benchmark.reporting.figures.all_charts import all_charts
from benchmark.reporting.figures.saving import page_svg, save_charts, save_summaries
from benchmark.reporting.figures.source import LackingError, Source
from benchmark.reporting.figures.style import Chart
from benchmark.reporting.figures.summary import summary_charts
from benchmark.reporting.figures.titles import SUFFIXES, SUMMARIES, TITLES
from benchmark.reporting.page.cells import PageTable, page_table
from benchmark.reporting.page.outdated import KEY, PAGE
from benchmark.reporting.page.provenance import class_counts, flat_settings, provenance
from benchmark.reporting.pages import about_sentences, verdict_tables
from benchmark.reporting.report import available_tables, current_verdicts, make_table
from benchmark.reporting.scope import scope_sentences
from benchmark.reporting.wording import brief_answer

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Section:
    """A part of the page: figures and tables by their names, in the order in which they are shown."""

    anchor: str
    title: str
    lead: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class PageFigure:
    """A figure of the page; one that is left out has the reason for a caption and no drawing."""

    name: str
    title: str
    caption: str
    summary: str = ""
    svg: Markup | None = None


REASONS = "reasons"  # the section of tables and figures that no section names
SECTIONS = (
    Section("accuracy", "Accuracy", "Every network alone, and every fusion method on every group of networks.",
            ("table-1", "table-2", "table-7", "accuracy-against-cost")),
    Section("differences", "Is a difference real?",
            "A verdict needs more than a higher mean; methods are compared seed by seed.",
            ("forest", "primary", "papers-question", "seed-by-seed", "best-single", "further", "among", "choices",
             "forest-by-pair", "per-pair", "power", "single-models")),
    Section(REASONS, "Why the numbers came out", "What order, selection and the networks themselves contribute.",
            ("table-3", "readings", "evaluation-order", "table-4", "error-overlap", "table-5", "optimism",
             "selection-optimism")),
    Section("errors", "Where the models err", "By class, by confidence, and while learning.",
            ("recall", "confusion", "calibration", "learning-curves")),
    Section("paper", "The paper", "Its claims and its printed numbers, beside what the runs give.",
            ("claims", "printed", "closing")),
)  # fmt: skip


def write_page(ledger: Ledger, reports_dir: Path) -> list[Path]:
    """Write `reports_dir/<experiment>/index.html` and `figures/`, and return both; the verdicts are written before."""
    folder = reports_dir / ledger.name
    found = current_verdicts(ledger, reports_dir)
    assert found is not None, "the verdicts of this ledger are written first"
    source = Source(ledger, found)
    charts, summaries = all_charts(source), summary_charts(source)
    save_charts(charts, folder / "figures")
    save_summaries(summaries, folder / "figures")
    page = folder / PAGE
    write_text(page, page_text(ledger, found, {**charts, **summaries}))
    return [page, folder / "figures"]


def page_text(ledger: Ledger, found: Report, charts: Mapping[str, Chart | LackingError]) -> str:
    """Return the page, with the summaries among the charts at its top.

    Every name and title is escaped; scripts run by the digest of their text alone."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters["with_code"] = with_code
    early, late = (Markup((TEMPLATES / name).read_text(encoding="utf-8")) for name in ("theme.js", "page.js"))
    figures = {name: _figure(name, chart) for name, chart in charts.items() if name in TITLES}
    parts = {**_tables(ledger, found), **figures}
    placed = {name for section in SECTIONS for name in section.parts}
    others = {REASONS: [name for name in parts if name not in placed]}
    return environment.get_template("page.html").render(
        found=found,
        answer=brief_answer(found),
        means=_means(ledger, found),
        summaries=[(name, *_summary(name, charts[name])) for name in SUMMARIES if name in charts],
        key=KEY,
        about=[*scope_sentences(ledger), *about_sentences(found)],
        sections=[
            (section, [parts[name] for name in [*section.parts, *others.get(section.anchor, [])] if name in parts])
            for section in SECTIONS
        ],
        provenance=provenance(ledger),
        settings=list(flat_settings(ledger.experiment["settings"])),
        command=ledger.experiment.get("command", ""),
        classes=class_counts(ledger),
        image_parts=list(ledger.experiment["dataset"]["images"]),
        style=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        suffixes=SUFFIXES,
        early=early,
        late=late,
        digests=[script_digest(early), script_digest(late)],
    )


def with_code(text: str) -> Markup:
    """Return words as markup; what stands between backticks is code."""
    parts = text.split("`")
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else p for i, p in enumerate(parts))


def script_digest(script: str) -> str:
    """Return the digest by which a content security policy admits a script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _tables(ledger: Ledger, found: Report) -> dict[str, tuple[str, PageTable]]:
    tables = {f"table-{number}": make_table(number, ledger, found) for number in available_tables(ledger)}
    return {name: ("table", page_table(table)) for name, table in {**tables, **verdict_tables(found)}.items()}


def _means(ledger: Ledger, found: Report) -> PageTable:
    """Return Table 2 by pairs, which stands at the top; the long one is among the details."""
    shown = page_table(make_table(2, ledger, found, "pairs"))
    return replace(shown, anchor="means", heading="Fusion methods by pair, test accuracy (%)")


def _summary(name: str, chart: Chart | LackingError) -> tuple[str, Markup]:
    """Return the caption and the drawing of a summary."""
    assert isinstance(chart, Chart)
    return chart.caption, Markup(page_svg(chart.figure, name))


def _figure(name: str, chart: Chart | LackingError) -> tuple[str, PageFigure]:
    """Return the kind of a figure's part of the page, and what stands there."""
    if isinstance(chart, LackingError):
        return "left-out", PageFigure(name, TITLES[name], str(chart))
    svg = Markup(page_svg(chart.figure, name))
    return "figure", PageFigure(name, TITLES[name], chart.caption, chart.summary, svg)
