"""Is every image a picture of a face, as far as its pixels tell?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmark.data.gate.findings import Finding, Subject

SMALLEST_SIDE = 24  # pixels
LEAST_SPREAD = 2.0  # of grey values, of 255
COLOUR = 3.0  # mean difference of channels from which an image counts as coloured
FEWEST_COLOURED = 20
USUAL_MODES = ("RGB", "L")
CODES = (
    "unreadable", "truncated", "oversized", "tiny", "not-square", "constant",
    "odd-mode", "channel-order", "mixed-colour",
)  # fmt: skip
_REPLACE = "replace them or take their lines out of the list"


def check_images(subject: Subject) -> Iterator[Finding]:
    """Look for images that cannot be decoded, and for pixels that are not those of a face's photograph."""
    yield from _faults(subject)
    facts, rows = subject.facts[subject.readable], subject.readable
    narrow, wide = np.minimum(facts["width"], facts["height"]), np.maximum(facts["width"], facts["height"])
    for code, found, what, remedy in (
        ("tiny", narrow < SMALLEST_SIDE, f"images less than {SMALLEST_SIDE} pixels wide or high", _REPLACE),
        ("not-square", wide > narrow, "images that are not square and are squeezed into one", "crop them to the face"),
        ("constant", facts["spread"] < LEAST_SPREAD, "images that show nothing (one grey value)", _REPLACE),
        (
            "odd-mode",
            ~np.isin(facts["mode"], USUAL_MODES),
            "images that are stored neither as RGB nor as grey and are converted",
            "look at some of them: transparency and palettes may hide what the photograph showed",
        ),
    ):
        if found.any():
            yield Finding(code, "warning", int(found.sum()), what, subject.names(rows[found]), remedy)
    yield from _colours(subject)


def _faults(subject: Subject) -> Iterator[Finding]:
    faults = subject.facts["fault"]
    truncated = np.char.find(faults, "truncated") >= 0
    oversized = np.char.find(faults, "pixels") >= 0
    kinds = {
        "truncated": (truncated, "images that are cut off"),
        "oversized": (oversized, "images too large to be decoded"),
        "unreadable": ((faults != "") & ~truncated & ~oversized, "files that cannot be decoded as images"),
    }
    for code, (found, what) in kinds.items():
        if found.any():
            yield Finding(code, "error", int(found.sum()), what, subject.names(np.flatnonzero(found)), _REPLACE)


def _colours(subject: Subject) -> Iterator[Finding]:
    """Skin is redder than blue: where most faces are bluer, red and blue have changed places."""
    means = subject.facts["mean"]
    coloured = (np.ptp(means, axis=1) > COLOUR) & (subject.facts["fault"] == "")
    share_of_grey = {}
    for part, rows in subject.manifest.parts.items():
        share_of_grey[part] = float(1 - coloured[rows].mean())
        chosen = np.flatnonzero(rows & coloured)
        bluer = chosen[means[chosen, 2] > means[chosen, 0]]
        if chosen.size >= FEWEST_COLOURED and 2 * bluer.size > chosen.size:
            yield Finding(
                "channel-order",
                "warning",
                int(bluer.size),
                f"of {chosen.size} coloured {part} images have more blue than red, as if these were swapped",
                subject.names(bluer),
                "write the images again with their channels in the order red, green, blue",
            )
    if max(share_of_grey.values()) - min(share_of_grey.values()) > 0.2:
        shares = tuple(f"{part}: {100 * share:.0f} % grey" for part, share in share_of_grey.items())
        yield Finding(
            "mixed-colour",
            "warning",
            len(shares),
            "parts that hold different shares of grey images",
            shares,
            "make all images grey, or set augmentation.remove_saturation=[1, 1]",
        )
