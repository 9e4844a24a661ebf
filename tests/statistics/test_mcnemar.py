"""Two trained models on the same images."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from benchmark.statistics.mcnemar import McNemarTest, mcnemar_test


def models(both: int, only_first: int, only_second: int, neither: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    counts = [both, only_first, only_second, neither]
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


def test_published_example() -> None:
    """Airway measurements in Fagerland et al. 2013, table 1: 1 against 7, exact conditional p = 0.070."""
    assert mcnemar_test(*models(1, 1, 7, 12)) == McNemarTest(1, 7, 18 / 256, "exact")


def test_mid_p_counts_half_of_the_observed_outcome() -> None:
    result = mcnemar_test(*models(100, 10, 25, 3))
    outcomes = stats.binom(35, 0.5)
    by_hand = 2 * (sum(outcomes.pmf(k) for k in range(10)) + 0.5 * outcomes.pmf(10))
    assert result.variant == "mid-p"
    assert result.p_value == pytest.approx(by_hand, rel=1e-10)


@pytest.mark.parametrize(("only_first", "only_second", "variant"), [(12, 12, "exact"), (12, 13, "mid-p")])
def test_exact_below_twenty_five_discordant_images(only_first: int, only_second: int, variant: str) -> None:
    assert mcnemar_test(*models(50, only_first, only_second, 5)).variant == variant


def test_models_that_agree_everywhere() -> None:
    assert mcnemar_test(*models(50, 0, 0, 5)) == McNemarTest(0, 0, 1.0, "exact")
    assert mcnemar_test(*models(50, 20, 20, 5)).p_value == pytest.approx(1.0)


def test_unaligned_images_are_refused() -> None:
    with pytest.raises(ValueError, match="align by image id"):
        mcnemar_test([True, False], [True])
