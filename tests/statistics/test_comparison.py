"""One comparison: intervals at the level that its family and its look leave, and a verdict that agrees with them."""

import doctest
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import benchmark.statistics.comparison
from benchmark.statistics.comparison import Comparison, Protocol, compare, compare_differences
from benchmark.statistics.crossed import crossed
from benchmark.statistics.verdicts import VERDICTS

BY_SEED = np.array([0.4, 1.9, 1.1, 0.8, 1.6, 1.2])


def both_ways(seeds: float, images: float, mean: float, n_seeds: int = 10) -> np.ndarray:
    rng = np.random.default_rng(6)
    parts = rng.normal(size=(n_seeds, 1)), rng.normal(size=200)
    return np.asarray(mean + seeds * (parts[0] - parts[0].mean()) + images * (parts[1] - parts[1].mean()))


def test_the_interval_over_seeds_is_at_the_level_of_look_and_family() -> None:
    found = compare_differences(BY_SEED, Protocol(looks=(6,)), comparisons=4)
    half = stats.t.isf(0.04 / 4 / 2, 5) * BY_SEED.std(ddof=1) / math.sqrt(6)
    assert found.seeds_interval == pytest.approx((BY_SEED.mean() - half, BY_SEED.mean() + half), rel=1e-10)
    assert found.p_adjusted == pytest.approx(4 * stats.ttest_1samp(BY_SEED, 0).pvalue, rel=1e-10)
    assert found.verdict == "better on this test set"
    assert all(math.isnan(end) for end in found.images_interval)


def test_the_interval_over_images_is_never_narrower() -> None:
    delta = both_ways(1.0, 0.5, 0.3)
    found = compare_differences(delta, Protocol(looks=(10,)), comparisons=2)
    low, high = crossed(delta).interval(0.02)
    assert found.images_interval == pytest.approx(
        (min(low, found.seeds_interval[0]), max(high, found.seeds_interval[1])), rel=1e-10
    )


@pytest.mark.parametrize(
    ("delta", "verdict"),
    [
        (both_ways(0.5, 2.0, 4.0), "better"),
        (both_ways(0.1, 9.0, 1.0), "better on this test set"),
        (both_ways(1.0, 1.0, 0.3), "open"),
        (both_ways(0.1, 0.5, 0.0), "practically equal"),
        (both_ways(0.1, 0.2, 0.3), "better, by less than the margin"),
        (both_ways(0.5, 2.0, -4.0), "worse"),
    ],
)
def test_verdicts(delta: np.ndarray, verdict: str) -> None:
    assert compare_differences(delta, Protocol(looks=(10,))).verdict == verdict


def test_between_looks_the_verdict_is_that_of_the_last_look() -> None:
    delta = both_ways(1.0, 1.0, 0.6, n_seeds=13)
    found, at_ten = (compare_differences(rows, Protocol(looks=(10,))) for rows in (delta, delta[:10]))
    assert (found.verdict, found.seeds_interval, found.n_seeds) == (at_ten.verdict, at_ten.seeds_interval, 10)


def test_before_the_first_look_there_is_no_verdict() -> None:
    assert compare_differences(both_ways(0.1, 0.1, 9.0, n_seeds=4), Protocol(looks=(5,))).verdict == "not yet"


@pytest.mark.parametrize("n_seeds", [1, 2])
def test_one_and_two_seeds_give_no_verdict(n_seeds: int) -> None:
    found = compare_differences(both_ways(0.1, 0.1, 9.0, n_seeds=n_seeds))
    assert found.verdict == "not yet"
    assert math.isnan(found.seeds_interval[0]) == (n_seeds == 1)


def test_seeds_that_are_all_alike_give_no_interval_below_five() -> None:
    for n_seeds, known in ((2, False), (4, False), (5, True)):
        found = compare_differences([1.0] * n_seeds)
        assert (not math.isnan(found.seeds_interval[0])) == known
        assert found.verdict == ("better on this test set" if known else "open" if n_seeds > 2 else "not yet")


def test_one_image_is_a_verdict_on_this_test_set_at_most() -> None:
    found = compare_differences(BY_SEED[:, None])
    assert found.verdict == "better on this test set"
    assert math.isnan(found.noise[0])


def test_parts_of_one_data_set_widen_the_interval() -> None:
    protocol = Protocol(looks=(6,), test_share=0.2)
    found, plain = compare_differences(BY_SEED, protocol), compare_differences(BY_SEED, replace(protocol, test_share=0))
    widths = [high - low for low, high in (found.seeds_interval, plain.seeds_interval)]
    assert widths[0] == pytest.approx(widths[1] * math.sqrt(1 + 6 * 0.2 / 0.8), rel=1e-10)
    assert found.images_interval == found.seeds_interval
    assert found.sd == plain.sd == pytest.approx(BY_SEED.std(ddof=1))


def agrees(found: Comparison, margin: float) -> bool:
    """Tell whether a verdict is what its own two intervals say."""
    (low, high), (wide_low, wide_high) = found.seeds_interval, found.images_interval
    here = "on this test set" in found.verdict or "in this order" in found.verdict
    if found.verdict == "not yet":
        return True
    small = found.verdict.startswith("practically equal") or found.verdict.endswith("margin")
    inside = -margin < low and high < margin and (here or (-margin < wide_low and wide_high < margin))
    if found.verdict.startswith("practically"):
        return inside
    if found.verdict.startswith("better"):
        return low > 0 and (here or wide_low > 0) and (inside or not small)
    if found.verdict.startswith("worse"):
        return high < 0 and (here or wide_high < 0) and (inside or not small)
    return not (low > 0 or high < 0)


def test_verdict_and_intervals_never_disagree() -> None:
    """A thousand random comparisons: every word is reached, and each is what the printed intervals say."""
    rng, said = np.random.default_rng(12), set()
    for _ in range(1000):
        n_seeds, n_images = int(rng.integers(1, 14)), int(rng.choice([1, 30, 120]))
        scales = rng.choice([0.0, 0.05, 0.3, 2.0], size=3)
        parts = rng.normal(size=(n_seeds, 1)), rng.normal(size=n_images), rng.normal(size=(n_seeds, n_images))
        delta = rng.choice([0.0, 0.1, 0.3, 1.0, 5.0]) * rng.choice([-1, 1])
        delta = delta + sum(scale * part for scale, part in zip(scales, parts, strict=True))
        plan = sorted(rng.choice([3, 5, 8, 10], size=2, replace=False).tolist())
        found = compare_differences(
            delta,
            Protocol(looks=tuple(plan) if rng.random() < 0.5 else None),
            comparisons=int(rng.integers(1, 6)),
            batch_dependent=bool(rng.random() < 0.2),
        )
        assert agrees(found, 0.5), found
        said.add(found.verdict)
    assert said == set(VERDICTS)


def test_compare_takes_arrays_by_name() -> None:
    rng = np.random.default_rng(3)
    right = {name: rng.random((8, 2, 300)) < share for name, share in (("mine", 0.9), ("late", 0.7), ("early", 0.7))}
    found = compare(right, "mine")
    delta = 100 * (right["mine"].mean(axis=1) - right["late"].mean(axis=1))
    assert found["late"] == compare_differences(delta, comparisons=2)
    assert {name: one.verdict for name, one in found.items()} == {"late": "better", "early": "better"}
    accuracies = {name: values.mean(axis=(1, 2)) for name, values in right.items()}
    alone = compare(accuracies, "mine", ["late"])["late"]
    assert alone.mean == pytest.approx(found["late"].mean)
    assert alone.verdict == "better on this test set"


def test_compare_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="no results named 'other'"):
        compare({"mine": [0.8, 0.9]}, "other")
    with pytest.raises(ValueError, match="one other method"):
        compare({"mine": [0.8, 0.9]}, "mine")


def test_the_example_of_the_docstring() -> None:
    assert doctest.testmod(benchmark.statistics.comparison).failed == 0
