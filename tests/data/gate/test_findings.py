"""What a finding says."""

from __future__ import annotations

import pytest

from benchmark.data.gate.findings import Finding


@pytest.mark.parametrize(
    ("many", "one"),
    [
        ("pairs that look alike within a part", "pair that looks alike within a part"),
        ("pairs of classes that seem swapped", "pair of classes that seems swapped"),
        ("images that are not square and are squeezed", "image that is not square and is squeezed"),
        ("identical pairs within a part", "identical pair within a part"),
        ("classes with fewer than 5 images in a part", "class with fewer than 5 images in a part"),
        (
            "of 19 batches hold a single class; other labels are right",
            "of 19 batches holds a single class; other labels are right",
        ),
    ],
)
def test_of_one_the_noun_and_its_verbs_are_singular(many: str, one: str) -> None:
    assert Finding("code", "warning", 1, many, (), "").of_one().message == one
    assert Finding("code", "warning", 2, many, (), "").of_one().message == many
