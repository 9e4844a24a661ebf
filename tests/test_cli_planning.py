"""What `ferfuse plan` says of its estimate."""

from __future__ import annotations

import pytest

from benchmark.cli.planning import _basis, _savings, _scaling
from benchmark.config import load_config


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


def test_what_was_scaled_is_said_with_what_it_was_scaled_from() -> None:
    assert _scaling({"vgg11": "resnet18", "vgg13": "resnet18", "gated": "early"}).endswith(
        "scaled by multiply-adds: vgg11, vgg13 from resnet18's measured rate; gated from early's measured rate"
    )
    many = _scaling({f"method{number}": "early" for number in range(11)})
    assert many.endswith("multiply-adds: 11 others from early's measured rate")


def test_what_a_smaller_plan_would_save_is_said_in_hours() -> None:
    half = {"seeds": 9000.0, "epochs": 9360.0, "image_size": 4800.0}
    assert _savings(load_config("open-faces", {"seeds": 9}), half) == (
        "to save time: about 2.5 hours with 5 seeds instead of 9, 2.6 hours with half the epochs, "
        "80 minutes at 56 pixels instead of 112, if time goes with the area"
    )
    assert "seeds" not in _savings(load_config("open-faces", {"seeds": 1}), half)


def test_lists_are_separated_by_blanks_or_commas() -> None:
    from benchmark.cli import spread_lists

    assert spread_lists(["plan", "--methods", "late,early", "joint"]) == [
        "plan", "--methods", "late", "--methods", "early", "--methods", "joint",
    ]  # fmt: skip
    whole = "attention-fusion:axis=batch,gate=false"
    assert spread_lists(["plan", "--methods", whole]) == ["plan", "--methods", whole]
