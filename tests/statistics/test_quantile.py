"""Student's t without scipy, against scipy."""

import pytest
from benchmark.statistics.quantile import t_probability, t_quantile
from scipy import stats


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 10, 29, 99, 400])
def test_quantiles_and_probabilities_are_scipys(freedom: int) -> None:
    for probability in (0.6, 0.9, 0.975, 0.995):
        assert t_quantile(probability, freedom) == pytest.approx(stats.t.ppf(probability, freedom), rel=1e-12)
    for value in (0.0, 0.3, 1.0, 2.5, 40.0):
        assert t_probability(value, freedom) == pytest.approx(stats.t.cdf(value, freedom), rel=1e-12)


def test_printed_tables_of_t() -> None:
    assert [round(t_quantile(0.975, freedom), 3) for freedom in (1, 2, 4, 9)] == [12.706, 4.303, 2.776, 2.262]


@pytest.mark.parametrize(("probability", "freedom"), [(0.5, 3), (1.0, 3), (0.9, 0)])
def test_what_has_no_quantile_is_refused(probability: float, freedom: int) -> None:
    with pytest.raises(ValueError, match="needs a probability"):
        t_quantile(probability, freedom)
