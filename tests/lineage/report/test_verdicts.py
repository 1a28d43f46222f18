import math
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lineage.report import verdicts
from lineage.report.verdicts import DOES_NOT_HOLD, HOLDS, LEANS, LEANS_AGAINST, NOT_DECIDED, REVERSED


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


def test_single_runs_and_seeds_without_any_spread_have_no_interval():
    one = verdicts.difference(pd.Series([9.0]), pd.Series([1.0, 2.0]))
    same = verdicts.difference(pd.Series([4.0, 4.0]), pd.Series([1.0, 1.0]))
    assert one == (7.5, -math.inf, math.inf) and same == (3, -math.inf, math.inf)
    assert verdicts.p_value(pd.Series([4.0, 4.0]), pd.Series([1.0, 1.0])) == 1
    assert math.isfinite(verdicts.difference(pd.Series([4.0, 4.1]), pd.Series([1.0, 1.0]))[1])


@pytest.mark.parametrize("value", [0.1, math.log(7), 100 * 3 / 108])
def test_equal_seeds_have_no_spread_although_their_deviation_is_rounded(value):
    for n in (3, 5):
        same = pd.Series([value] * n)
        assert verdicts.difference(same, 0.0) == (pytest.approx(value), -math.inf, math.inf)
        assert verdicts.p_value(same, 0.0) == 1 and verdicts.p_value(same, pd.Series([0.0] * n)) == 1
    assert pd.Series([0.1] * 3).std() > 0  # which is why


def test_seeds_that_are_all_alike_raise_no_warning():
    alike, others = pd.Series([0.1, 0.1, 0.1]), pd.Series([0.2, 0.25, 0.3])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mean, low, high = verdicts.difference(others, alike)
        assert 0 < verdicts.p_value(others, alike) < 0.05
    assert low < mean == pytest.approx(0.15) and mean < high < 0.3


def test_against_a_number():
    mean, low, high = verdicts.difference(pd.Series([74.0, 75.0, 76.0]), 73.0)
    half = 4.3027 / math.sqrt(3)  # Student's t at 0.975 with 2 degrees of freedom
    assert (mean, low, high) == pytest.approx((2, 2 - half, 2 + half), abs=1e-3)
    assert verdicts.difference(pd.Series([74.0]), 73.0) == (1, -math.inf, math.inf)
    assert verdicts.difference(pd.Series([74.0, 74.0]), 73.0) == (1, -math.inf, math.inf)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((5, 4, 6), HOLDS),
        ((0.2, 0.1, 0.29), DOES_NOT_HOLD),  # surely there, and surely too small to be relevant
        ((0.2, 0.1, 0.5), LEANS),
        ((5, -1, 11), NOT_DECIDED),
        ((0, -0.2, 0.2), DOES_NOT_HOLD),
        ((-5, -6, -4), REVERSED),
        ((-0.2, -0.25, -0.15), DOES_NOT_HOLD),
        ((-5, -11, 0.2), DOES_NOT_HOLD),
        ((7, -math.inf, math.inf), NOT_DECIDED),
        ((0.1 + 0.2 - 1e-12, 0.2, 0.4), HOLDS),  # 0.3 but for rounding
        ((-0.1 - 0.2 + 1e-12, -0.4, -0.2), REVERSED),
    ],
)
def test_the_rule(found, expected):
    assert verdicts.verdict(found, relevant=0.3) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((5, 4, 6), REVERSED),
        ((0.1, -0.1, 0.29), HOLDS),
        ((-5, -6, -4), HOLDS),
        ((0.2, 0.1, 0.5), LEANS_AGAINST),
        ((0.1, -0.4, 0.6), NOT_DECIDED),
    ],
)
def test_the_rule_for_a_claim_of_no_difference(found, expected):
    assert verdicts.verdict(found, relevant=0.3, none=True) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [((7, 6.5, 7.5), HOLDS), ((7, 5.5, 8.5), NOT_DECIDED), ((5, 4, 5.9), DOES_NOT_HOLD), ((-7, -8, -6), REVERSED)],
)
def test_a_number_to_be_exceeded_takes_the_place_of_zero(found, expected):
    assert verdicts.verdict(found, relevant=6, least=6) == expected
    assert verdicts.verdict(found, relevant=1, least=6) == expected  # whatever difference would be relevant


def test_three_seeds_against_three_can_decide_nothing():
    """The two most extreme of 20 orders are p = 0.1."""
    assert not verdicts.can_decide((3, 3))
    assert verdicts.can_decide((3, 5)) and verdicts.can_decide((5, 5)) and verdicts.can_decide((4, 4))
    assert not verdicts.can_decide((5, 1))
    assert verdicts.can_decide((3,)) and not verdicts.can_decide((2,))


def test_failures_are_counted_by_fishers_test():
    assert verdicts.fisher((5, 0), (5, 5)) == pytest.approx(2 / math.comb(10, 5))
    assert verdicts.fisher((3, 0), (3, 3)) == pytest.approx(2 / math.comb(6, 3))
    assert verdicts.fisher((0, 0), (5, 5)) == 1


def test_the_p_value_of_an_interval():
    assert verdicts.normal_p(3.0, 3 - 1.96, 3 + 1.96) == pytest.approx(0.0027, abs=1e-4)
    assert verdicts.normal_p(-1.96, -2 * 1.96, 0.0) == pytest.approx(0.05, abs=1e-4)
    assert verdicts.normal_p(1.0, 1.0, 1.0) == 0 and verdicts.normal_p(0.0, 0.0, 0.0) == 1


@pytest.mark.parametrize("n", [(3, 3), (4, 4), (5, 5), (3, 5)])
def test_the_smallest_p_is_that_of_an_exact_permutation_test(n):
    low, high = np.arange(n[0]) / 100, 1 + np.arange(n[1]) / 100
    test = stats.permutation_test((low, high), lambda a, b, axis: a.mean(axis) - b.mean(axis), n_resamples=np.inf)
    assert verdicts.smallest_p(n) == pytest.approx(test.pvalue) == pytest.approx(2 / math.comb(sum(n), n[0]))


def test_holms_correction():
    assert verdicts.holm([float("nan"), 0.001], 2) == [False, True]
    # 0.03 · 2 is above 5 %, and what comes after it fails with it: 0.04 · 1 alone would not
    assert verdicts.holm([0.01, 0.04, 0.03, 0.005], 4) == [True, False, False, True]
    assert verdicts.holm([0.03, 0.04], 2) == [False, False]
    assert verdicts.holm([0.02], 2) == [True] and verdicts.holm([0.02], 3) == [False]  # two are still to come
    assert verdicts.holm([], 5) == []


def test_no_mistake_on_120_images():
    assert verdicts.exact_upper(120) == pytest.approx(0.0303, abs=1e-4)


def wrong(seeds, images, error):
    return np.random.default_rng(1).random((seeds, images)) < error


def test_the_bootstrap_knows_the_sampling_of_images():
    """Seeds that make the very same mistakes have no spread; the images that they were asked do."""
    one = wrong(1, 400, 0.2)
    low, high = verdicts.bootstrap([np.repeat(one, 5, 0)])
    half = 1.96 * math.sqrt(one.mean() * (1 - one.mean()) / 400)
    assert (low, high) == pytest.approx((one.mean() - half, one.mean() + half), abs=0.005)


def test_the_bootstrap_knows_the_spread_of_seeds():
    """A hundred seeds of which half answer everything wrong: the images do not matter."""
    sides = np.repeat([[True], [False]], 50, 0).repeat(200, 1)
    low, high = verdicts.bootstrap([sides])
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.05, 0.5 + 1.96 * 0.05), abs=0.02)


@pytest.mark.parametrize("seeds", [3, 4, 5])
def test_the_wider_of_both_intervals_covers_93_to_97_of_100(seeds):
    """As the report says of them; the bootstrap by the normal distribution, images and seeds in several proportions."""
    draws, rng = 20_000, np.random.default_rng(0)
    for image_error in (0, 0.5, 1, 2, 4):  # in standard errors of the seeds
        sides = rng.standard_normal((2, draws, seeds))
        images = image_error * math.sqrt(2 / seeds)
        difference = sides[0].mean(1) - sides[1].mean(1) + images * rng.standard_normal(draws)
        welch = stats.ttest_ind(*sides, axis=1, equal_var=False).confidence_interval(0.95)
        bootstrap = 1.96 * np.sqrt(sides.var(2).sum(0) / seeds + images**2)  # which divides by n, not by n - 1
        covered = np.abs(difference) <= np.maximum((welch.high - welch.low) / 2, bootstrap)
        assert 93 <= round(100 * covered.mean()) <= 97


def test_it_covers_97_or_more_of_100_where_seeds_err_on_different_images(monkeypatch):
    """As the report says: the bootstrap then counts what is left of seeds and images together more than once."""
    monkeypatch.setattr(verdicts, "DRAWS", 200)
    rng, covered = np.random.default_rng(0), []
    for _ in range(100):
        difficulty = rng.beta(0.3, 1.7, 120)
        sides = [(rng.random((5, 120)) < difficulty).astype(float) for _ in range(2)]
        ends = verdicts.bootstrap(sides), verdicts.difference(*(pd.Series(one.mean(1)) for one in sides))[1:]
        covered.append(min(low for low, _ in ends) <= 0 <= max(high for _, high in ends))
    assert sum(covered) >= 97


def test_the_bootstrap_asks_both_sides_the_same_images():
    """Two sides with the same mistakes differ by nothing, whichever images are drawn."""
    one = wrong(1, 300, 0.3)
    assert verdicts.bootstrap([np.repeat(one, 3, 0), np.repeat(one, 4, 0)]) == pytest.approx((0, 0))
    low, high = verdicts.bootstrap([wrong(5, 300, 0.4), wrong(5, 300, 0.1)])
    assert 0.2 < low < 0.3 < high < 0.4
    assert (low, high) == verdicts.bootstrap([wrong(5, 300, 0.4), wrong(5, 300, 0.1)])  # the same draws every time
