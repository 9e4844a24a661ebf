"""What is registered, by name: fusion methods, backbones, data sets; and the user's own methods among them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.data.formats import all_formats
from benchmark.plugins import load_plugins


def catalogue(what: str, plugins: Sequence[Path] = ()) -> list[dict[str, Any]]:
    """Return what is registered: "methods", "backbones" or "datasets"."""
    from backbones import BACKBONES
    from fusion_methods import FUSION_METHODS

    if what == "datasets":
        return [{"name": "synthetic", "layout": "drawn on demand"}] + [
            {"name": one.name, "layout": one.layout, "terms": one.terms} for one in all_formats()
        ]
    load_plugins(plugins)
    if what == "methods":
        return [
            {"name": m.name, "title": m.title, "reference": m.reference, "end_to_end": m.end_to_end}
            for m in FUSION_METHODS
        ]
    assert what == "backbones"
    return [{"name": b.name, "title": b.title, "reference": b.reference} for b in BACKBONES]
