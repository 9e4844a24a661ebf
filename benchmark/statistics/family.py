"""Test several comparisons that are read together, under one correction."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from benchmark.statistics.equivalence import equivalence_p_value
from benchmark.statistics.multiplicity import holm
from benchmark.statistics.paired import PairedTest, Refusal, SignFlipTest, paired_t_test, sign_flip_test


@dataclass(frozen=True)
class Comparison:
    """What the seeds say about one comparison; `p_holm` is corrected for the family that it was tested in."""

    paired: PairedTest
    p_holm: float
    sign_flip: SignFlipTest | Refusal
    equivalence_p: float


def compare_family(
    differences: ArrayLike, *, margin: float = 0.5, alpha: float = 0.05, confidence: float = 0.95
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

    Returns:
        K comparisons in the order of the rows.

    Raises:
        ValueError: not a (K, S) array of finite numbers, or a margin that is not positive.
    """
    rows = np.asarray(differences, dtype=np.float64)
    if rows.ndim != 2:
        raise ValueError(f"expected one row per comparison, shape (K, S), got shape {rows.shape}")
    tests = [paired_t_test(row, confidence=confidence) for row in rows]
    adjusted = holm([test.p_value for test in tests])
    return [
        Comparison(test, float(p_holm), sign_flip_test(row, alpha=alpha), equivalence_p_value(row, margin))
        for row, test, p_holm in zip(rows, tests, adjusted, strict=True)
    ]
