"""Figures as files, the same bytes for the same ledger: no dates, no random names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmark.ledger import commit_file, write_text
from benchmark.reporting.figures import style
from benchmark.reporting.figures.source import LackingError
from benchmark.reporting.figures.style import Chart
from benchmark.reporting.figures.titles import figure_files, remove_figures, summary_file
from benchmark.scratch import half_made

METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
FILE_SETTINGS = {name: style.SETTINGS[name] for name in ("svg.hashsalt", "pdf.fonttype", "hatch.linewidth")}
TAG = re.compile(r"<[^>]+>")
SCALE = 1.25  # of figures on a page over those in print, so that their letters can be read
PAGE_COLOURS = {
    style.INK: "currentColor",
    style.MUTED: "var(--muted)",
    style.RULE: "var(--rule)",
    style.PAPER: "var(--paper)",
    style.BLUE: "var(--blue)",
    style.VERMILLION: "var(--vermillion)",
    style.GREEN: "var(--green)",
    style.PURPLE: "var(--purple)",
    style.ORANGE: "var(--orange)",
    style.SKY: "var(--sky)",
}


def save_charts(charts: Mapping[str, Chart | LackingError], folder: Path) -> None:
    """Write all figures that are there into a folder, in place of those of an earlier ledger."""
    remove_figures(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, chart in charts.items():
        if isinstance(chart, Chart):
            save_figure(chart.figure, folder, name)


def save_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write `folder/name.{svg,pdf,png}` on white, fonts embedded, and return the paths."""
    paths = figure_files(folder, name)
    for path in paths:
        suffix = path.suffix[1:]
        partial = half_made(path)
        partial.write_bytes(_written(figure, suffix, {}, facecolor="white", dpi=200))
        commit_file(partial, path)
    return paths


def save_summaries(charts: Mapping[str, Chart], folder: Path) -> None:
    """Write `folder/name.svg` on white and `folder/name-dark.svg` on dark, letters as outlines."""
    for name, chart in charts.items():
        for dark in (False, True):
            text = _written(chart.figure, "svg", {}, facecolor=style.PAPER).decode()
            for colour, other in style.DARK.items() if dark else ():
                text = text.replace(colour, other)
            write_text(summary_file(folder, name, dark), text)


def page_svg(figure: Figure, name: str) -> str:
    """Return a figure as an SVG element for a page: the page's colours and letters, ids that are its own.

    The element has no size of its own but a largest width; its text can be selected.
    """
    text = _written(figure, "svg", {"svg.fonttype": "none"}, transparent=True).decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    head, body = text.split(">", 1)
    box = re.search(r'viewBox="0 0 ([\d.]+) [\d.]+"', head)
    assert box is not None
    opening = f'<svg {box[0]} style="max-width: {SCALE * float(box[1]) / 72:.2f}in" aria-hidden="true"'
    used = {a or b for tag in TAG.findall(body) for a, b in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', tag)}
    return f"{opening}>{TAG.sub(lambda tag: _page_tag(tag[0], name, used), body).strip()}"


def _page_tag(tag: str, name: str, used: set[str]) -> str:
    """Return a tag with ids that begin with the figure's name and the page's colours; words between tags stay."""
    tag = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", tag)
    tag = re.sub(r'(?:xlink:)?href="#', f'href="#{name}-', tag).replace("url(#", f"url(#{name}-")
    tag = re.sub(r"(font: (?:\d+ )?[\d.]+px) [^;\"]+", r"\1 var(--sans)", tag)
    for colour, variable in PAGE_COLOURS.items():
        tag = tag.replace(colour, variable)
    return tag


def _written(figure: Figure, suffix: str, changed: dict[str, Any], **options: Any) -> bytes:
    target = BytesIO()
    with style.settings({**FILE_SETTINGS, **changed}):
        figure.savefig(target, format=suffix, metadata=METADATA[suffix], **options)
    return target.getvalue()
