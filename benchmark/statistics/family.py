"""Test several comparisons that are read together, under one correction."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmark.statistics.equivalence import equivalence_p_value
from benchmark.statistics.multiplicity import holm
from benchmark.statistics.paired import (
    PairedTest,
    Refusal,
    SignFlipTest,
    paired_t_test,
    sample_sd,
    sign_flip_test,
    stretched,
)


@dataclass(frozen=True)
class Comparison:
    """What the seeds say about one comparison; `p_holm` is corrected for the family that it was tested in."""

    paired: PairedTest
    p_holm: float
    sign_flip: SignFlipTest | Refusal
    equivalence_p: float


def compare_family(
    differences: ArrayLike,
    *,
    margin: float = 0.5,
    alpha: float = 0.05,
    confidence: float = 0.95,
    test_share: float = 0.0,
) -> list[Comparison]:
    """Paired t test of every row, Holm over all rows, the sign-flip and the equivalence test beside it.

    The primary family has one row per baseline, each averaged over pairs. The exploratory family per pair has
    one row per (baseline, pair): reshape (baselines, P, S) to (baselines · P, S). Sign-flip and equivalence
    p-values are not corrected.

    Args:
        differences: (K, S), method minus baseline, every row over the same seeds, in percentage points.
        margin: of equivalence, in percentage points.
        alpha: level at which the sign-flip test is refused when it cannot be reached.
        confidence: of the t intervals, which are not corrected either.
        test_share: share of images in a test part where seeds test on parts of one data set, 0 where they share a
            test set. Above 0, t test, interval and equivalence test are corrected for the overlap, and the sign-flip
            test is refused.

    Returns:
        K comparisons in the order of the rows.

    Raises:
        ValueError: not a (K, S) array of finite numbers, or a margin that is not positive.
    """
    rows = np.asarray(differences, dtype=np.float64)
    if rows.ndim != 2:
        raise ValueError(f"expected one row per comparison, shape (K, S), got shape {rows.shape}")
    if test_share:
        return _overlapping(rows, margin, confidence, test_share)
    tests = [paired_t_test(row, confidence=confidence) for row in rows]
    adjusted = holm([test.p_value for test in tests])
    return [
        Comparison(test, float(p_holm), sign_flip_test(row, alpha=alpha), equivalence_p_value(row, margin))
        for row, test, p_holm in zip(rows, tests, adjusted, strict=True)
    ]


def _overlapping(rows: NDArray[np.float64], margin: float, confidence: float, test_share: float) -> list[Comparison]:
    """Compare over splits whose training images overlap; `sd` stays that of the differences as they are."""
    wide = stretched(rows, test_share)
    tests = [paired_t_test(row, confidence=confidence) for row in wide]
    adjusted = holm([test.p_value for test in tests])
    refused = Refusal(
        "exact sign-flip test",
        rows.shape[1],
        None,
        "seeds test on parts of one data set and share training images; the t test is corrected for that "
        "(Nadeau and Bengio 2003)",
    )
    return [
        Comparison(
            replace(test, sd=sample_sd(row) if row.size > 1 else test.sd),
            float(p_holm),
            refused,
            equivalence_p_value(stretched_row, margin),
        )
        for row, stretched_row, test, p_holm in zip(rows, wide, tests, adjusted, strict=True)
    ]
