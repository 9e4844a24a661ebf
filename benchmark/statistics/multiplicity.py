"""Keep the chance of a single false alarm in a whole family of tests at alpha."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def holm(p_values: Sequence[float | None] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's step-down adjustment of a family of p-values: compare the result with alpha directly.

    The i-th smallest of K is multiplied by K - i + 1, made monotone, and cut at 1. A test that was not made
    (None or NaN) stays NaN and does not count towards K.

    Args:
        p_values: (K,), each in [0, 1], None or NaN.

    Raises:
        ValueError: a value outside [0, 1].

    Source: Holm 1979, A simple sequentially rejective multiple test procedure.
    """
    array = np.array([np.nan if value is None else value for value in p_values], dtype=np.float64)
    made = ~np.isnan(array)
    if ((array[made] < 0) | (array[made] > 1)).any():
        raise ValueError(f"p-values lie between 0 and 1, got {array.tolist()}: pass p-values, not test statistics")
    order = np.flatnonzero(made)[np.argsort(array[made])]
    # by hand, since statsmodels collects garbage at every call: a second each where 20 000 records are in memory
    array[order] = np.minimum(1.0, np.maximum.accumulate(array[order] * np.arange(len(order), 0, -1)))
    return array
