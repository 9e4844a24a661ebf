"""How far seeds that test on parts of one data set understate their error, without scipy's import."""

from math import sqrt


def stretch(n_splits: int, test_share: float) -> float:
    """Factor by which R overlapping splits understate the standard error of their mean, √(1 + R ρ / (1 - ρ)).

    Args:
        n_splits: R.
        test_share: ρ, the share of images in a test part; 0, for seeds that share one test set, gives 1.

    Source: Nadeau and Bengio 2003, Inference for the generalization error.
    """
    return sqrt(1 + n_splits * test_share / (1 - test_share))
