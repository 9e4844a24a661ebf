"""The mean over pairs, seed by seed."""

from __future__ import annotations

import pytest

from benchmark.statistics.means import means_by_seed


@pytest.mark.parametrize(
    ("pairs", "means"),
    [
        ([{1: 60.0, 0: 50.0}, {0: 70.0, 1: 90.0}], [60.0, 75.0]),
        ([{0: 50.0, 1: 60.0}, {1: 80.0, 2: 10.0}], [70.0]),
        ([{0: 50.0}, {1: 60.0}], []),
        ([], []),
    ],
)
def test_seeds_that_all_pairs_have_count(pairs: list[dict[int, float]], means: list[float]) -> None:
    assert means_by_seed(pairs) == means
