"""What is registered, by name: fusion methods, backbones, data sets; and the user's own methods among them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.data.formats import all_formats
from benchmark.plugins import load_plugins

if TYPE_CHECKING:
    from fusion_methods import FusionMethod


KINDS = (
    "not trained",
    "trained on the stored outputs of networks",
    "trained together with the networks",
    "trained together with the networks, by a loss or gradients of its own",
)


def kind_of(method: FusionMethod) -> str:
    """Return how a method is trained."""
    if method.end_to_end:
        return KINDS[3 if hasattr(method.build, "training_loss") or hasattr(method.build, "adjust_gradients") else 2]
    try:
        module = method.build((8, 8), 3)
    except Exception:  # what a method makes of such small branches says nothing of how it is trained
        return KINDS[1]
    return KINDS[1 if any(True for _ in module.parameters()) else 0]


def registered(what: str, plugins: Sequence[Path] = ()) -> list[dict[str, Any]]:
    """Return what is registered: "methods", "backbones" or "datasets"."""
    from backbones import BACKBONES
    from fusion_methods import FUSION_METHODS

    if what == "datasets":
        return [{"name": "synthetic", "layout": "drawn on demand"}] + [
            {"name": one.name, "layout": one.layout, "terms": one.terms} for one in all_formats()
        ]
    load_plugins(plugins)
    if what == "methods":
        rows = [
            {"name": m.name, "title": m.title, "reference": m.reference, "end_to_end": m.end_to_end, "kind": kind_of(m)}
            for m in FUSION_METHODS
        ]
        return sorted(rows, key=lambda row: KINDS.index(str(row["kind"])))
    assert what == "backbones"
    return [{"name": b.name, "title": b.title, "reference": b.reference} for b in BACKBONES]
