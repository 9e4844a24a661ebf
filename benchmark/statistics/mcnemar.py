"""Compare two single trained models on the same images: a statement about these two, not their methods."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

EXACT_BELOW = 25


@dataclass(frozen=True)
class McNemarTest:
    """Images that only one of the two models classifies rightly, and the p-value that they are as many."""

    only_first: int
    only_second: int
    p_value: float
    variant: str


def mcnemar_test(first: ArrayLike, second: ArrayLike) -> McNemarTest:
    """Two-sided McNemar test on the images where just one of two models is right.

    With k the smaller of the two counts and n their sum, exact p = min(1, 2 P(X ≤ k)) and mid-p = 2 P(X ≤ k)
    - P(X = k), X binomial (n, 1/2). Exact when n < 25, mid-p otherwise. Never pooled over seeds: the same
    images would count several times.

    Args:
        first, second: (N,) of bool, whether each image is classified rightly.

    Raises:
        ValueError: shapes that differ or are not (N,).

    Source: Fagerland, Lydersen and Laake 2013, BMC Medical Research Methodology 13:91; statsmodels for the
    exact p.
    """
    right, other = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if right.ndim != 1 or right.shape != other.shape:
        raise ValueError(
            f"expected two arrays of one shape (N,), got {right.shape} and {other.shape}: align by image id"
        )
    b, c = int((right & ~other).sum()), int((~right & other).sum())
    if b + c < EXACT_BELOW:
        p_value = float(statsmodels_mcnemar([[0, b], [c, 0]], exact=True).pvalue) if b + c else 1.0
        return McNemarTest(b, c, min(1.0, p_value), "exact")
    half = stats.binom(b + c, 0.5)
    return McNemarTest(b, c, float(2 * half.cdf(min(b, c)) - half.pmf(min(b, c))), "mid-p")
