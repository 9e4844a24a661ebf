"""Every figure is on the bench's page, and the page beside its raw numbers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from benchmark.bench.report import cpu_page, write
from benchmark.bench.sides import Figure

HEADS = [
    {"early": {"alone": 100.0, "stacked": 150.0, "heads": 4}, "gated": {"alone": 50.0}},
    {"early": {"alone": 100.0, "stacked": 250.0, "heads": 4}, "gated": {"alone": 70.0}},
    {"early": {"alone": 120.0, "stacked": 240.0, "heads": 4}, "gated": {"alone": 60.0}},
]
FOUND = {
    "measured": "2026-11-26T06:00:00+00:00",
    "device": "x86_64 CPU",
    "cores": 2,
    "workers": 2,
    "torch": "2",
    "repeats": 3,
    "data": {"name": "drawn", "images": 168, "image_size": 32},
    "load_before": 0.1,
    "figures": [asdict(Figure("data path", "images", 6.5, [6.0, 6.5, 8.0], 1234.0, 190.0, 10**9, 2 * 10**9, "a note"))],
    "heads": HEADS,
}


def squeezed(text: str) -> list[str]:
    return [" ".join(line.replace("|", " ").split()) for line in text.splitlines()]


def test_the_page_holds_every_figure_with_its_range() -> None:
    lines = squeezed(cpu_page(FOUND))
    assert "data path 6.50x (6.00 to 8.00) 1234 190 images 1.00 2.00" in lines
    assert "data path: a note." in lines
    assert "early 100 240 4 2.00x (1.50 to 2.50)" in lines
    assert "gated 60 cannot be stacked here" in lines


def test_a_bench_that_was_cut_off_has_its_page_and_its_numbers(tmp_path: Path) -> None:
    begun = {**FOUND, "figures": [], "heads": []}
    path = write(begun, cpu_page(begun), tmp_path / "bench")
    assert write(FOUND, cpu_page(FOUND), tmp_path / "bench") == path  # later parts go into the same files
    assert json.loads(path.read_text()) == FOUND
    assert path.with_suffix(".md").read_text() == cpu_page(FOUND)
