"""Are all images there, and is every class in every part?"""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.data.gate.findings import Finding, Subject

FEWEST = 5  # images of a class in a part, below which its recall says little
CODES = ("official-counts", "missing-class", "rare-class")


def check_counts(subject: Subject) -> Iterator[Finding]:
    """Compare with the published numbers, and look for classes that a part lacks or hardly has."""
    yield from _official(subject)
    manifest = subject.manifest
    counts = {part: manifest.counts(rows) for part, rows in manifest.parts.items()}
    cells = [(part, name, n) for part, row in counts.items() for name, n in zip(manifest.classes, row, strict=True)]
    missing = [f"{name} in {part}" for part, name, n in cells if n == 0]
    if missing:
        yield Finding(
            "missing-class",
            "error",
            len(missing),
            "classes without any image in a part",
            tuple(missing),
            "add images, or leave the class out by --set data.leave_out=[NAME]",
        )
    rare = [f"{n} of {name} in {part}" for part, name, n in cells if 0 < n < FEWEST]
    if rare:
        yield Finding(
            "rare-class",
            "warning",
            len(rare),
            f"classes with fewer than {FEWEST} images in a part",
            tuple(rare),
            "do not read anything into this class's recall or into the balanced accuracy",
        )


def _official(subject: Subject) -> Iterator[Finding]:
    manifest = subject.manifest
    different = []
    for part, published in manifest.origin.published.items():
        rows = manifest.parts.get(part)
        here = [0] * len(manifest.classes) if rows is None else manifest.counts(rows)
        found = here if len(published) > 1 else [sum(here)]
        if found != list(published):
            different.append(f"{part}: {sum(found)} images, published {sum(published)}")
    if different:
        yield Finding(
            "official-counts",
            "warning",
            len(different),
            f"parts that have not the published number of images of each class (format {manifest.origin.format})",
            tuple(different),
            "unpack the release completely; otherwise do not compare with numbers that are printed about it",
        )
