"""The words of the report, each read off intervals that are written down here."""

from math import nan

import pytest

from benchmark.statistics.verdicts import (
    VERDICTS,
    claim_verdict,
    over_data_sets,
    printed_verdict,
    read_equality,
    read_verdict,
    widest,
)

UNKNOWN = (nan, nan)


@pytest.mark.parametrize(
    ("seeds", "images", "verdict"),
    [
        ((0.8, 1.6), (0.3, 2.1), "better"),
        ((0.8, 1.6), (-0.1, 2.5), "better on this test set"),
        ((0.8, 1.6), (0.0, 2.5), "better on this test set"),
        ((0.8, 1.6), UNKNOWN, "better on this test set"),
        ((-0.01, 1.6), (-0.2, 1.8), "open"),
        ((0.0, 1.6), (0.0, 1.8), "open"),
        (UNKNOWN, UNKNOWN, "open"),
        ((-1.6, -0.8), (-2.1, -0.3), "worse"),
        ((-1.6, -0.8), (-2.5, 0.1), "worse on this test set"),
    ],
)
def test_direction(seeds: tuple[float, float], images: tuple[float, float], verdict: str) -> None:
    assert read_verdict(seeds, images) == verdict
    order = read_verdict(seeds, images, batch_dependent=True)
    assert order == (verdict if verdict == "open" else f"{verdict.split()[0]} in this order of the test images")


@pytest.mark.parametrize(
    ("seeds", "images", "verdict"),
    [
        ((-0.2, 0.3), (-0.4, 0.45), "practically equal"),
        ((-0.2, 0.3), (-0.4, 0.5), "practically equal on this test set"),
        ((-0.2, 0.3), UNKNOWN, "practically equal on this test set"),
        ((-0.2, 0.5), (-0.3, 0.6), None),
        ((0.1, 0.3), (0.05, 0.35), "better, by less than the margin"),
        ((0.1, 0.3), (-0.05, 0.35), "practically equal"),
        ((0.1, 0.3), (-0.7, 0.9), "better on this test set, by less than the margin"),
        ((-0.3, -0.1), (-0.4, -0.05), "worse, by less than the margin"),
        ((0.0, 0.0), (0.0, 0.0), "practically equal"),
        (UNKNOWN, UNKNOWN, None),
    ],
)
def test_equality(seeds: tuple[float, float], images: tuple[float, float], verdict: str | None) -> None:
    assert read_equality(seeds, images, 0.5) == verdict
    assert verdict is None or verdict in VERDICTS
    order = read_equality(seeds, images, 0.5, batch_dependent=True)
    assert order is None or "in this order of the test images" in order


def test_the_widest_of_intervals_leaves_out_what_is_not_known() -> None:
    assert widest((-1.0, 2.0), (-0.5, 2.5)) == (-1.0, 2.5)
    assert widest((-1.0, 2.0), UNKNOWN) == (-1.0, 2.0)
    assert str(widest(UNKNOWN)) == "(nan, nan)"


@pytest.mark.parametrize(
    ("intervals", "size", "verdict"),
    [
        ([(0.2, 1.5), (0.1, 2.0)], None, "shown"),
        ([(0.2, 1.5), (-0.1, 2.0)], None, "possible"),
        ([(0.2, 1.5), (-2.0, -0.1)], None, "excluded"),
        ([(3.5, 5.0)], 4.0, "shown"),
        ([(3.4, 5.0)], 4.0, "possible"),
        ([(1.0, 3.4)], 4.0, "excluded"),
        ([(1.0, 3.6)], 4.0, "possible"),
        ([(0.36, 0.8)], 0.4, "shown"),
        ([(-1.6, 0.24)], 0.4, "excluded"),
        ([UNKNOWN], 4.0, "possible"),
        ([], None, "possible"),
    ],
)
def test_claims(intervals: list[tuple[float, float]], size: float | None, verdict: str) -> None:
    assert claim_verdict(intervals, size) == verdict


def test_over_data_sets_each_has_its_own_verdict() -> None:
    assert over_data_sets(["better", "better on this test set"]) == "all"
    assert over_data_sets(["better", "open"]) == "some"
    assert over_data_sets(["open", "worse"]) == "none"
    assert over_data_sets(["better in this order of the test images"]) == "none"
    assert over_data_sets([]) == "none"


@pytest.mark.parametrize(
    ("printed", "prediction", "same_data", "verdict"),
    [
        ("86.35", (85.4, 87.2), True, "reproduced"),
        ("86.35", (85.1, 87.2), True, "compatible"),
        ("90.95", (85.4, 87.2), True, "not compatible"),
        ("84.00", (85.4, 87.2), True, "not compatible"),
        ("85.3", (85.34, 87.2), True, "reproduced"),
        ("85.30", (85.34, 87.2), True, "not compatible"),
        ("90.95", (nan, nan), True, "too few seeds"),
        ("90.95", (85.1, 87.2), False, "other data"),
    ],
)
def test_printed_numbers(printed: str, prediction: tuple[float, float], same_data: bool, verdict: str) -> None:
    assert printed_verdict(printed, prediction, 0.5, same_data=same_data) == verdict
