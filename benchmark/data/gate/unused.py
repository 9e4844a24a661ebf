"""Is every picture that was found used, or left out by a stated rule?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

from benchmark.data.gate.findings import MOST_EXAMPLES, Finding
from benchmark.data.manifest import Manifest

CODES = ("unused-images",)


def check_unused(manifest: Manifest) -> Iterator[Finding]:
    """Name the pictures beside the data that no rule accounts for: they may be a part, a class, or half of one."""
    unused = manifest.origin.unused
    if not unused:
        return
    places = Counter((str(PurePosixPath(name).parent), PurePosixPath(name).suffix.lower()) for name in unused)
    where = ", ".join(f"{count} {suffix} in {folder}/" for (folder, suffix), count in places.most_common(MOST_EXAMPLES))
    yield Finding(
        "unused-images",
        "error",
        len(unused),
        f"pictures were found and are not used: {where}",
        unused[:MOST_EXAMPLES],
        "bring them into class folders of a part (train, validation, test) or into the list, or move them elsewhere",
    )
