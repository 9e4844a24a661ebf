"""Is every file that was found used, or left out by a stated rule?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

from benchmark.data.gate.findings import MOST_EXAMPLES, Finding
from benchmark.data.manifest import Manifest

CODES = ("unused-images", "unused-files")


def check_unused(manifest: Manifest) -> Iterator[Finding]:
    """Name what lies beside the data and no rule accounts for: pictures may be a part, a class, or half of one."""
    unused, other = manifest.origin.unused, manifest.origin.other
    if unused:
        yield Finding(
            "unused-images",
            "error",
            len(unused),
            f"pictures were found and are not used: {_places(unused)}",
            unused[:MOST_EXAMPLES],
            "bring them into class folders of a part (train, validation, test) or into the list, or move them away",
        )
    if other:
        yield Finding(
            "unused-files",
            "warning",
            len(other),
            f"other files were found and not looked into: {_places(other)}",
            other[:MOST_EXAMPLES],
            "unpack archives, take the dot off hidden folders, or move the files elsewhere",
        )


def _places(names: tuple[str, ...]) -> str:
    paths = [PurePosixPath(name) for name in names]
    places = Counter((str(path.parent), path.suffix.lower() or "without suffix") for path in paths)
    return ", ".join(f"{count} {suffix} in {folder}/" for (folder, suffix), count in places.most_common(MOST_EXAMPLES))
