"""One rule for all claims.

A claim says that one experiment exceeds another by some measure, seed by seed, and by how much at least. It *holds*
where Welch's 95 % interval of the difference excludes 0 and the difference reaches the smallest effect that is worth a
word; it *does not hold* where the whole interval stays below that effect. A claim that there is no such difference is
judged the other way round. Where a claim names the number to be reached (75 %, six times), that number takes the place
of 0. Everything else, runs that are missing, single or diverged included, is *not decided*.

The interval is that of the seeds, which share their test images; where all seeds agree, it is a point. The smallest
effect is 0.3 pp, and on the 120 test images of SIGNS one of these. What has not happened when a training ends happens
in the epoch after it at the earliest: then a claim holds only where each of three or more seeds is that far beyond each
of the other side's.
"""

import math

import pandas as pd
from scipy import stats

KINDS = HOLDS, DOES_NOT_HOLD, NOT_DECIDED = "holds", "does not hold", "not decided"
NOT_RUN = f"{NOT_DECIDED} (not run)"
OPPOSITE = {HOLDS: DOES_NOT_HOLD, DOES_NOT_HOLD: HOLDS, NOT_DECIDED: NOT_DECIDED}
Interval = tuple[float, float, float]  # mean, low, high


def difference(larger: pd.Series, smaller: pd.Series | float) -> Interval:
    """The difference of the means and Welch's 95 % interval of it; an infinite one where a side has a single value.
    Against a plain number, the mean's own interval (Student's).
    """
    number = isinstance(smaller, float)
    mean = larger.mean() - (smaller if number else smaller.mean())
    if min(len(larger), 2 if number else len(smaller)) < 2:
        return mean, -math.inf, math.inf
    if larger.std() == 0 and (number or smaller.std() == 0):  # all seeds agree, and there is nothing to divide by
        return mean, mean, mean
    test = stats.ttest_1samp(larger, smaller) if number else stats.ttest_ind(larger, smaller, equal_var=False)
    interval = test.confidence_interval(0.95)
    return (mean, interval.low - smaller, interval.high - smaller) if number else (mean, interval.low, interval.high)


def verdict(mean: float, low: float, high: float, effect: float, least: float = 0.0) -> str:
    """Of a claim that the difference exceeds `least`."""
    if low > least and mean >= effect:
        return HOLDS
    return DOES_NOT_HOLD if high < max(effect, least) else NOT_DECIDED
