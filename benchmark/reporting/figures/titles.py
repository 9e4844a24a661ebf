"""Which figures there are, in the order of a report, and their files; named without drawing anything."""

from __future__ import annotations

from pathlib import Path

TITLES = {
    "forest": "Differences and verdicts",
    "seed-by-seed": "Seed by seed",
    "forest-by-pair": "Differences pair by pair",
    "accuracy-against-cost": "Accuracy against cost",
    "evaluation-order": "Accuracy by evaluation order",
    "error-overlap": "Error overlap of the networks",
    "selection-optimism": "Selection optimism",
    "recall": "Recall of each class",
    "confusion": "Confusion matrices",
    "calibration": "Calibration",
    "learning-curves": "Learning curves",
}
SUFFIXES = ("svg", "pdf", "png")
SUMMARIES = ("summary", "summary-narrow")  # for documents around a report: SVG alone, on light and on dark


def figure_files(folder: Path, name: str) -> list[Path]:
    """Return the paths of a figure, whether they are there or not."""
    return [folder / f"{name}.{suffix}" for suffix in SUFFIXES]


def summary_file(folder: Path, name: str, dark: bool) -> Path:
    """Return the path of a summary, on light or on dark, whether it is there or not."""
    return folder / f"{name}{'-dark' if dark else ''}.svg"


def remove_figures(folder: Path) -> None:
    """Delete every figure of a report, and their folder where nothing else is in it."""
    for name in TITLES:
        for path in figure_files(folder, name):
            path.unlink(missing_ok=True)
    for name in SUMMARIES:
        for dark in (False, True):
            summary_file(folder, name, dark).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
