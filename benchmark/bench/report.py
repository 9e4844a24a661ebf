"""The bench's figures as a table for people and a file for machines."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from benchmark.bench.growth import Growth
from benchmark.bench.setup import Setup
from benchmark.bench.sides import Figure
from benchmark.ledger import write_text


def describe(setup: Setup, figures: Sequence[Figure], growths: Sequence[Growth]) -> dict[str, Any]:
    """Return all that was measured and on what."""
    cuda = setup.device.startswith("cuda")
    data = setup.settings.data
    return {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name(setup.device) if cuda else f"{platform.machine()} CPU",
        "cores": setup.cores,
        "workers": setup.workers,
        "torch": torch.__version__,
        "data": {
            "name": setup.workspace.manifest.title,
            "images": len(setup.workspace.manifest),
            "image_size": data.image_size,
        },
        "load_before": os.getloadavg()[0],
        "figures": [figure.to_json() for figure in figures],
        "growth": [growth.to_json() for growth in growths],
    }


def write(found: dict[str, Any], folder: Path) -> Path:
    """Write the figures into a file that is named by when they were measured."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{found['measured'].replace(':', '').replace('+0000', 'Z')}.json"
    write_text(path, json.dumps(found, indent=1) + "\n")
    return path


def as_text(found: dict[str, Any]) -> str:
    """Return the figures as a table: every ratio with its smallest and largest of the repeats."""
    data = found["data"]
    lines = [
        f"{found['device']}, {found['cores']} cores, torch {found['torch']}; {data['images']} images of "
        f"{data['image_size']} pixels ({data['name']}); {found['workers']} workers against the plain way.",
        "",
    ]
    rows = [
        [
            figure["name"],
            f"{figure['ratio']:.2f}×",
            f"{min(figure['ratios']):.2f} to {max(figure['ratios']):.2f}",
            f"{figure['fast']:.4g}",
            f"{figure['plain']:.4g}",
            figure["unit"],
            f"{figure['fast_memory'] / 1e9:.2f}",
            f"{figure['plain_memory'] / 1e9:.2f}",
        ]
        for figure in found["figures"]
    ]
    header = ["Work", "Ratio", "Range", "Suite /s", "Plain /s", "Unit", "Suite GB", "Plain GB"]
    lines.append(tabulate(rows, headers=header, tablefmt="simple", disable_numparse=True))
    lines += [f"{figure['name']}: {figure['note']}." for figure in found["figures"] if figure["note"]]
    for growth in found["growth"]:
        sizes = ", ".join(
            f"{size}: {seconds:.2f} s" for size, seconds in zip(growth["sizes"], growth["seconds"], strict=True)
        )
        lines.append(f"Fusion stage by {growth['name']}: {sizes}; {_slope(growth['slope'])}")
    return "\n".join(lines)


def _slope(slope: float | None) -> str:
    return "one size only" if slope is None else f"slope {slope:.2f} (1 is proportional)"
