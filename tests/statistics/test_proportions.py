"""One printed accuracy: its interval, and whether it can be a share of the test images."""

from fractions import Fraction
from math import isnan

import numpy as np
import pytest

from benchmark.statistics.proportions import (
    attainable_accuracy,
    attainable_batch_average,
    printed_value,
    relative_error_reduction,
    wilson_interval,
)

TEST_IMAGES = 3068


@pytest.mark.parametrize(
    ("right", "n_images", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_newcombes_published_intervals(right: int, n_images: int, low: float, high: float) -> None:
    """Newcombe 1998, Statistics in Medicine 17, table I, method 3."""
    assert wilson_interval(right / n_images, n_images) == pytest.approx((low, high), abs=5e-5)


def test_wilson_refuses_percent() -> None:
    with pytest.raises(ValueError, match="divide percent by 100"):
        wilson_interval(86.35, TEST_IMAGES)


@pytest.mark.parametrize("printed", ["90.95", "90.92", "86.35"])
def test_printed_numbers_that_are_no_share_of_the_test_images(printed: str) -> None:
    assert attainable_accuracy(printed, TEST_IMAGES) == "no"


@pytest.mark.parametrize("printed", ["86.66", "85.49", "86.63"])
def test_printed_numbers_that_are_shares_only_when_cut_off(printed: str) -> None:
    assert attainable_accuracy(printed, TEST_IMAGES) == "cut off"


@pytest.mark.parametrize("printed", ["85.3", "85.5", "85.23", "85.2", "86.08", "85.98", "86.05", "86.4", "90.48"])
def test_printed_numbers_that_are_rounded_shares(printed: str) -> None:
    assert attainable_accuracy(printed, TEST_IMAGES) == "rounded"


def test_a_padded_last_batch_makes_both_best_numbers_possible() -> None:
    assert attainable_accuracy("90.95", 3072) == attainable_accuracy("90.92", 3072) == "rounded"
    assert attainable_accuracy("86.35", 3072) == "no"


def brute_force(printed: str, values: list[Fraction]) -> str:
    decimals = len(printed.partition(".")[2])
    wanted, unit = Fraction(printed), Fraction(1, 10**decimals)
    if any(abs(100 * value - wanted) <= unit / 2 for value in values):
        return "rounded"
    return "cut off" if any(wanted <= 100 * value < wanted + unit for value in values) else "no"


def test_shares_agree_with_trying_every_count() -> None:
    values = [Fraction(count, 317) for count in range(318)]
    for number in np.random.default_rng(1).integers(0, 10_001, size=300):
        printed = f"{number / 100:.2f}"
        assert attainable_accuracy(printed, 317) == brute_force(printed, values), printed
    for edge in ("0", "0.0", "0.00", "100", "100.00", "99.99", "0.01", "50"):
        assert attainable_accuracy(edge, 317) == brute_force(edge, values), edge


def test_batch_averages_agree_with_trying_every_count() -> None:
    """Eleven images in batches of 4, 4 and 3."""
    values = [(Fraction(j, 4) + Fraction(k, 3)) / 3 for j in range(9) for k in range(4)]
    for number in range(1001):
        printed = f"{number / 10:.1f}"
        assert attainable_batch_average(printed, 11, 4) == brute_force(printed, values), printed


def test_batch_averages_with_whole_batches_are_plain_shares() -> None:
    for printed in ("90.95", "90.92", "86.35"):
        assert attainable_batch_average(printed, 3072, 48) == attainable_accuracy(printed, 3072)
    assert attainable_batch_average("86.35", 40, 48) == attainable_accuracy("86.35", 40)


def test_every_impossible_printed_number_can_be_an_average_over_batches() -> None:
    for printed in ("90.95", "90.92", "86.35"):
        assert attainable_batch_average(printed, TEST_IMAGES, 48) == "rounded"


@pytest.mark.parametrize("printed", ["90.95%", "about 4", "", "101", "-1", "nan"])
def test_what_is_no_percentage_is_refused(printed: str) -> None:
    with pytest.raises(ValueError, match="expected a percentage"):
        attainable_accuracy(printed, TEST_IMAGES)


def test_printed_value_keeps_its_decimals() -> None:
    assert printed_value("85.3") == pytest.approx((85.3, 0.05))
    assert printed_value("85.30") == pytest.approx((85.3, 0.005))


def test_relative_error_reduction() -> None:
    assert relative_error_reduction(0.90, 0.80) == pytest.approx(0.5)
    assert relative_error_reduction(0.75, 0.80) == pytest.approx(-0.25)
    assert isnan(relative_error_reduction(0.9, 1.0))
