"""Read a single accuracy: its interval, whether it is a share of n images, what it does to the error."""

from decimal import Decimal, InvalidOperation
from math import nan
from typing import Literal

Attainable = Literal["rounded", "cut off", "no"]


def wilson_interval(accuracy: float, n_images: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of one accuracy on N images: the noise of the test set alone.

    Args:
        accuracy: fraction of 1; a printed number need not be k / N.
        n_images: N.
        confidence: of the interval.

    Returns:
        Low and high as fractions of 1.

    Raises:
        ValueError: an accuracy outside [0, 1].

    Source: Wilson 1927; statsmodels proportion_confint.
    """
    from statsmodels.stats.proportion import proportion_confint  # a second of import that a table does without

    if not 0 <= accuracy <= 1:
        raise ValueError(f"an accuracy is a fraction of 1, got {accuracy}: divide percent by 100")
    low, high = proportion_confint(accuracy * n_images, n_images, alpha=1 - confidence, method="wilson")
    return float(low), float(high)


def attainable_accuracy(printed: str, n_images: int) -> Attainable:
    """Say whether a printed percentage is some k / n_images, "rounded" or "cut off" at its end, or "no".

    "rounded" when some whole k is within half a unit of the last decimal (ties either way), else "cut off"
    when some k has these leading digits. For a test set padded to whole batches, or without its last batch,
    give that n_images.

    Args:
        printed: percent as printed, decimals included: "85.3" is coarser than "85.30".
        n_images: number of test images.

    Raises:
        ValueError: printed is not a percentage between 0 and 100.
    """
    rounded, cut_off = _numerators(printed, n_images)
    return "rounded" if rounded else "cut off" if cut_off else "no"


def attainable_batch_average(printed: str, n_images: int, batch_size: int) -> Attainable:
    """Say whether a printed percentage is an unweighted mean of per-batch accuracies, the last batch smaller.

    With m batches, the last of r images, the mean is (j / batch_size + l / r) / m for whole j and l. It moves
    in much finer steps than k / n_images, so "rounded" here says that the number is possible, not that it was
    made this way.

    Args:
        printed: percent as printed.
        n_images: number of test images.
        batch_size: images in every batch but the last.

    Returns:
        "rounded", "cut off" or "no", as in `attainable_accuracy`.

    Raises:
        ValueError: printed is not a percentage between 0 and 100.
    """
    full, last = divmod(n_images, batch_size)
    if last == 0 or full == 0:
        return attainable_accuracy(printed, n_images)

    def is_sum(numerator: int) -> bool:
        rests = (numerator - right * batch_size for right in range(last + 1))
        return any(rest % last == 0 and 0 <= rest // last <= full * batch_size for rest in rests)

    rounded, cut_off = _numerators(printed, batch_size * last * (full + 1))
    if any(map(is_sum, rounded)):
        return "rounded"
    return "cut off" if any(map(is_sum, cut_off)) else "no"


def relative_error_reduction(accuracy: float, baseline_accuracy: float) -> float:
    """Share of the baseline's errors that the method removes: (accuracy - baseline) / (1 - baseline).

    Both are fractions of 1; negative when the method adds errors; NaN when the baseline makes none.
    """
    return (accuracy - baseline_accuracy) / (1 - baseline_accuracy) if baseline_accuracy < 1 else nan


def printed_value(printed: str) -> tuple[float, float]:
    """A printed percentage and half a unit of its last decimal, both in percent: "85.3" -> 85.3, 0.05.

    Raises:
        ValueError: printed is not a percentage between 0 and 100.
    """
    digits, scale = _digits(printed)
    return digits * 100 / scale, 50 / scale


def _digits(printed: str) -> tuple[int, int]:
    """A printed percentage as a whole number over a power of ten: "85.3" -> 853, 1000."""
    try:
        value = Decimal(printed)
    except InvalidOperation:
        value = Decimal("NaN")
    if not (value.is_finite() and 0 <= value <= 100):
        raise ValueError(f'expected a percentage such as "85.3", got {printed!r}: write the number without a sign')
    decimals = max(0, -int(value.as_tuple().exponent))
    return int(value.scaleb(decimals)), 10 ** (decimals + 2)


def _numerators(printed: str, denominator: int) -> tuple[range, range]:
    """Whole numbers which over the denominator print as `printed` when rounded, and when cut off."""
    digits, scale = _digits(printed)
    rounded_from = -((1 - 2 * digits) * denominator // (2 * scale))
    rounded_to = min((2 * digits + 1) * denominator // (2 * scale), denominator)
    cut_from, cut_below = -(-digits * denominator // scale), -(-(digits + 1) * denominator // scale)
    return range(max(rounded_from, 0), rounded_to + 1), range(cut_from, min(cut_below, denominator + 1))
