"""Were class numbers read by a rule that is only a guess?"""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.data.gate.findings import Finding
from benchmark.data.manifest import Manifest

CODES = ("class-codes",)
OTHER_SETS = "CK+ numbers 1 anger, 2 contempt, 3 disgust, 4 fear, 5 happy, 6 sadness, 7 surprise"


def check_codes(manifest: Manifest) -> Iterator[Finding]:
    """Say that numbers were taken for RAF-DB's classes where neither counts nor names are RAF-DB's."""
    if manifest.dataset != "raf-db-layout" or manifest.origin.format != "raf-db":
        return
    if all(name.startswith(("train_", "test_")) for name in manifest.image_ids):
        return
    read = ", ".join(f"{number} {name}" for number, name in manifest.origin.mapping.items())
    yield Finding(
        "class-codes",
        "warning",
        len(manifest.classes),
        f"class numbers are read as RAF-DB's ({read}), a guess: neither counts nor names are RAF-DB's",
        (OTHER_SETS,),
        "look at some images of each class; name the folders by their expressions where it is wrong",
    )
