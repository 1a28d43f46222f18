import math

import pandas as pd
import pytest

from lineage.report import verdicts
from lineage.report.verdicts import DOES_NOT_HOLD, HOLDS, NOT_DECIDED


def test_welchs_interval_by_its_formula():
    a, b = pd.Series([27.5, 21.0, 19.0, 23.6, 17.0, 17.9]), pd.Series([27.1, 22.0, 20.8, 23.4])
    mean, low, high = verdicts.difference(a, b)
    error = math.sqrt(a.var() / 6 + b.var() / 4)
    freedom = error**4 / ((a.var() / 6) ** 2 / 5 + (b.var() / 4) ** 2 / 3)
    assert freedom == pytest.approx(7.95, abs=0.01)
    quantile = 2.3087  # of Student's t at 0.975 with 7.95 degrees of freedom
    assert (mean, low, high) == pytest.approx(
        (a.mean() - b.mean(), mean - quantile * error, mean + quantile * error), abs=1e-3
    )


def test_single_runs_and_runs_that_agree():
    assert verdicts.difference(pd.Series([9.0]), pd.Series([1.0, 2.0])) == (7.5, -math.inf, math.inf)
    assert verdicts.difference(pd.Series([4.0, 4.0]), pd.Series([1.0, 1.0])) == (3, 3, 3)


def test_against_a_number():
    mean, low, high = verdicts.difference(pd.Series([74.0, 75.0, 76.0]), 73.0)
    half = 4.3027 / math.sqrt(3)  # Student's t at 0.975 with 2 degrees of freedom
    assert (mean, low, high) == pytest.approx((2, 2 - half, 2 + half), abs=1e-3)
    assert verdicts.difference(pd.Series([74.0]), 73.0) == (1, -math.inf, math.inf)
    assert verdicts.difference(pd.Series([74.0, 74.0]), 73.0) == (1, 1, 1)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((5, 4, 6), HOLDS),
        ((0.2, 0.1, 0.29), DOES_NOT_HOLD),  # surely there, and surely too small to matter
        ((0.2, 0.1, 0.5), NOT_DECIDED),
        ((5, -1, 11), NOT_DECIDED),
        ((0, -0.2, 0.2), DOES_NOT_HOLD),
        ((-5, -6, -4), DOES_NOT_HOLD),
        ((0, 0, 0), DOES_NOT_HOLD),
        ((7, -math.inf, math.inf), NOT_DECIDED),
    ],
)
def test_the_rule(found, expected):
    assert verdicts.verdict(*found, effect=0.3) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [((7, 6.5, 7.5), HOLDS), ((7, 5.5, 8.5), NOT_DECIDED), ((5, 4, 5.9), DOES_NOT_HOLD)],
)
def test_a_number_to_be_exceeded_takes_the_place_of_zero(found, expected):
    assert verdicts.verdict(*found, effect=6, least=6) == expected
