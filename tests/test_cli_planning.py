"""What `ferfuse plan` says of its estimate."""

from __future__ import annotations

import pytest

from benchmark.cli.planning import _basis


@pytest.mark.parametrize(
    ("calibrated", "left", "said"),
    [
        (5, 5, "from a calibration"),
        (0, 5, "from finished runs like them"),
        (2, 5, "2 runs from a calibration, the other 3 from finished runs like them"),
    ],
)
def test_the_estimate_tells_what_it_rests_on(calibrated: int, left: int, said: str) -> None:
    assert _basis(calibrated, left) == said
