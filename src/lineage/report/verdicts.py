"""The statistics of a claim: intervals, p values, and what is said of them."""

import math
import warnings
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

HOLDS, REVERSED, DOES_NOT_HOLD = "holds", "reversed", "does not hold"
LEANS, LEANS_AGAINST = "leans", "leans against"
NOT_DECIDED, NOT_COMPARED = "not decided", "not compared"
AT_FLOOR, NOT_RUN = "at the floor", "not run"
VERDICTS = (
    HOLDS,
    REVERSED,
    DOES_NOT_HOLD,
    LEANS,
    LEANS_AGAINST,
    NOT_DECIDED,
    NOT_COMPARED,
    AT_FLOOR,
)  # of what has run
WEAKER = {HOLDS: LEANS, REVERSED: LEANS_AGAINST, DOES_NOT_HOLD: LEANS_AGAINST}
ALPHA = 0.05
FEWEST = 3  # seeds of a side that may decide
TINY = 1e-9  # what rounding may do to a number
DRAWS = 2000  # of the bootstrap
Interval = tuple[float, float, float]  # mean, low, high


def difference(larger: pd.Series, smaller: pd.Series | float) -> Interval:
    """The difference of the means and Welch's 95 % interval. It is infinite where a side has a single value or neither
    side has any spread: a point would claim more than is known. Against a plain number, the mean's own interval
    (Student's).
    """
    number = isinstance(smaller, float)
    mean = larger.mean() - (smaller if number else smaller.mean())
    if not _has_spread(larger, smaller):
        return mean, -math.inf, math.inf
    interval = _test(larger, smaller).confidence_interval(1 - ALPHA)
    return (mean, interval.low - smaller, interval.high - smaller) if number else (mean, interval.low, interval.high)


def p_value(larger: pd.Series, smaller: pd.Series | float) -> float:
    """Of Welch's test, or of Student's against a number, two-sided; 1 where it cannot be made."""
    if not _has_spread(larger, smaller):
        return 1.0
    return float(_test(larger, smaller).pvalue)


def _test(larger: pd.Series, smaller: pd.Series | float) -> Any:
    """Scipy's result of Welch's test, or of Student's against a number."""
    with warnings.catch_warnings():
        # where all seeds of one side are alike, the standard deviation of that side is rightly 0
        warnings.filterwarnings("ignore", "Precision loss occurred", RuntimeWarning)
        if isinstance(smaller, float):
            return stats.ttest_1samp(larger, smaller)
        return stats.ttest_ind(larger, smaller, equal_var=False)


def _has_spread(larger: pd.Series, smaller: pd.Series | float) -> bool:
    if isinstance(smaller, float):
        return len(larger) > 1 and not alike(larger)
    return min(len(larger), len(smaller)) > 1 and not (alike(larger) and alike(smaller))


def alike(values: pd.Series) -> bool:
    """Whether all are the same but for rounding: even equal numbers can have a standard deviation a little over 0."""
    return values.max() - values.min() <= TINY * max(1.0, abs(values.max()))


def bootstrap(sides: list[np.ndarray], less: list[np.ndarray] | None = None) -> tuple[float, float]:
    """95 % interval of the difference of two mean errors, or of one mean error, for other seeds *and* other images of
    the same kind. One or two `sides` (seeds×images, the same images) say where an answer is wrong; `less` (seeds of
    each side) is taken from each seed's error. Each draw takes seeds of either side and images with replacement; the
    draws are the same every time.
    """
    generator, images, means = np.random.default_rng(0), sides[0].shape[1], np.empty(DRAWS)
    less = less or [np.zeros(len(side)) for side in sides]
    for draw in range(DRAWS):
        weights = np.bincount(generator.integers(0, images, images), minlength=images) / images
        by_seed = [side @ weights - own for side, own in zip(sides, less, strict=True)]
        errors = [side[generator.integers(0, len(side), len(side))].mean() for side in by_seed]
        means[draw] = errors[0] - (errors[1] if len(errors) > 1 else 0)
    low, high = np.percentile(means, [100 * ALPHA / 2, 100 * (1 - ALPHA / 2)])
    return float(low), float(high)


def normal_p(mean: float, low: float, high: float) -> float:
    """The two-sided p value that belongs to a 95 % interval of a mean, by the normal distribution."""
    error = (high - low) / (2 * stats.norm.ppf(1 - ALPHA / 2))
    return float(2 * stats.norm.sf(abs(mean) / error)) if error > 0 else float(mean == 0)


def fisher(failed: tuple[int, int], n: tuple[int, int]) -> float:
    """Fisher's exact test, two-sided: the p value of so many failures among so many seeds on either side."""
    counts = [[count, of - count] for count, of in zip(failed, n, strict=True)]
    return float(stats.fisher_exact(counts).pvalue)


def smallest_p(n: tuple[int, int]) -> float:
    """What an exact permutation test of the difference of two means, two-sided, gives if every value of one side is
    above every value of the other: two of all ways to deal so many values out to both sides are as extreme.
    """
    return 2 / math.comb(sum(n), n[0])


def can_decide(n: tuple[int, ...]) -> bool:
    """Whether an exact permutation test of so many seeds on either side could fall below 5 % at all: with 3 and 3 it
    could not (2 of 20 orders are as extreme as can be, p = 0.1), with 5 and 5 it could (p = 0.008). Against a number,
    three values may decide.
    """
    return n[0] >= FEWEST if len(n) == 1 else smallest_p(n) < ALPHA


def holm(p_values: list[float], tests: int) -> list[bool]:
    """Which of these stay below 5 % after Holm's correction for so many tests, of which some may still be to come."""
    kept, order = [False] * len(p_values), np.argsort(p_values)
    for rank, i in enumerate(order):
        if not p_values[i] * (tests - rank) < ALPHA:  # nor where it is not a number
            break
        kept[i] = True
    return kept


def exact_upper(images: int) -> float:
    """The upper end of the exact 95 % interval (Clopper and Pearson) of an error of which no case was seen."""
    return 1 - (ALPHA / 2) ** (1 / images)


def verdict(found: Interval, relevant: float, least: float = 0.0, none: bool = False) -> str:
    """Of the claim that a difference exceeds `least` and is at least `relevant`; with `none`, of the claim that there
    is no such difference.
    """
    mean, low, high = found
    if low > least and mean >= relevant - TINY:
        return REVERSED if none else HOLDS
    if high < max(relevant, least):
        if none:
            return HOLDS
        return REVERSED if high < min(0, least) and mean <= TINY - relevant else DOES_NOT_HOLD
    if low > least:
        return LEANS_AGAINST if none else LEANS
    return NOT_DECIDED
