"""What the bench found of a GPU, as a page of Markdown tables that can be published."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from benchmark.bench.gpu import STORED
from benchmark.bench.hours import protocol_hours, rates
from benchmark.bench.report import as_table, head_rows, joined, value_range
from benchmark.config import Settings

FLOP = 2  # of a multiply-add
PASSES = 3  # a training step's multiply-adds over those of a forward pass


def gpu_page(found: dict[str, Any], settings: Settings) -> str:
    """Return all figures as Markdown: medians over the turns, with the smallest and the largest."""
    machine, turns = found["machine"], found["repeats"]
    peak = FLOP * machine["peak_macs"]
    driver = f", driver {machine['driver']}" if "driver" in machine else ""
    head = (
        f"{machine['name']}{driver}, torch {machine['torch']}, {found['measured']}, n = {turns} turns of each.\n"
        f"Measured peak: {peak / 1e12:.1f} TFLOP/s, the bfloat16 product of two matrices of {machine['matrix']} rows. "
        f"Synthetic images (noise) of {STORED} px on the device, enlarged to {settings.data.image_size}. A training "
        f"step is augmentation, forward, backward and Adam in {settings.precision}: {PASSES * FLOP} FLOP for each "
        "multiply-add of a forward pass. Start is the time until the first epoch of training ended, compiling "
        "included."
    )
    tables = [_trainings(found, peak), head_rows(found["heads"]), _hours(found, settings)]
    return joined([head, *(as_table(list(rows)) for rows in tables)])


def _trainings(found: dict[str, Any], peak: float) -> Iterator[dict[str, str]]:
    for cell in found["cells"]:
        for count in cell["turns"]:
            row = {
                "Training": cell["name"],
                "Step": "compiled" if cell["compiled"] else "eager",
                "Side by side": count,
            }
            training = rates(cell, int(count), "training")
            if not training:
                places = [place for turn in cell["turns"][count] for place in turn]
                yield {**row, "Images/s": next(place["error"] for place in places if "error" in place)[:60]}
                continue
            rate = statistics.median(training)
            places = cell["turns"][count][-1]
            yield {
                **row,
                "Images/s": f"{rate:.0f} ({value_range(training)})",
                f"ms a step of {cell['batch']}": f"{1000 * cell['batch'] / rate:.2f}",
                "Share of peak": f"{PASSES * FLOP * cell['macs'] * rate / peak:.1%}",
                "Evaluation images/s": f"{statistics.median(rates(cell, int(count), 'evaluation')):.0f}",
                "GB, all together": f"{sum(place['memory'] for place in places) / 1e9:.1f}",
                "Start, s": f"{max(place['start'] for place in places):.1f}",
                **({"Notes": places[0]["notes"][0]} if "notes" in places[0] else {}),
            }


def _hours(found: dict[str, Any], settings: Settings) -> Iterator[dict[str, str]]:
    """Yield the protocol's hours for each number of runs that share the device."""
    compiled = [cell["name"] for cell in found["cells"] if cell["compiled"]]
    ways = [("eager", False), *([(f"compiled: {', '.join(compiled)}", True)] if compiled else [])]
    counts: list[str] = list(found["cells"][0]["turns"]) if found["cells"] else []
    for name, way in ways:
        for count in counts:
            hours = protocol_hours(settings, found, int(count), compiled=way)
            if hours:
                yield {
                    f"Hours of {settings.profile} on RAF-DB, {settings.seeds} seeds, extrapolated": name,
                    "Side by side": count,
                    "Backbones": f"{hours.backbones:.2f}",
                    "Joint": f"{hours.joint:.2f}",
                    "Heads": f"{hours.heads:.2f}",
                    "In all": f"{hours.total:.2f}",
                    "Pairs scaled, not measured": f"{len(hours.scaled)}",
                }
