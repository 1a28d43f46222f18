"""The articles' claims, and what the measurements say of each by one rule.

A claim says that one experiment exceeds another by some measure, seed by seed. It *holds* where Welch's 95 % interval
of the difference excludes 0 and the difference reaches the smallest effect that is worth a word; it *does not hold*
where the whole interval stays below that effect; everything else, runs that are missing or single included, is *not
decided*.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from scipy import stats

from lineage.results import Result

KINDS = HOLDS, DOES_NOT_HOLD, NOT_DECIDED = "holds", "does not hold", "not decided"


def difference(larger: pd.Series, smaller: pd.Series) -> tuple[float, float, float]:
    """The difference of the means and Welch's 95 % interval of it; an infinite one where a side has a single value."""
    mean = larger.mean() - smaller.mean()
    if min(len(larger), len(smaller)) < 2:
        return mean, -math.inf, math.inf
    if larger.std() == smaller.std() == 0:  # all seeds agree, and Welch would divide by zero
        return mean, mean, mean
    interval = stats.ttest_ind(larger, smaller, equal_var=False).confidence_interval(0.95)
    return mean, interval.low, interval.high


def verdict(mean: float, low: float, high: float, effect: float) -> str:
    if low > 0 and mean >= effect:
        return HOLDS
    return DOES_NOT_HOLD if high < effect else NOT_DECIDED


def test_error(result: Result) -> pd.Series:
    return 100 * result.error("test")


def training_error(result: Result) -> pd.Series:
    """On clean training images, after training."""
    return 100 * result.error("train")


def gap(result: Result) -> pd.Series:
    """What a network does worse on images that it has not seen."""
    return test_error(result) - training_error(result)


def epochs_to_quarter(result: Result) -> pd.Series:
    """Epochs until a quarter of the training images is wrong (Krizhevsky et al. 2012, Fig. 1); one more than all of
    them where that never happens.
    """
    history = result.history
    reached = history[history.train_error <= 0.25].groupby("seed").epoch.min()
    return reached.reindex(history.seed.unique(), fill_value=history.epoch.max() + 1).astype(float)


QUARTER = epochs_to_quarter, "epochs", 1.0


@dataclass(frozen=True)
class Claim:
    article: str
    text: str
    larger: str  # the experiment that the claim gives the larger value
    smaller: str
    measure: Callable[[Result], pd.Series]
    unit: str = "pp"
    effect: float = 0.3  # the smallest difference that is worth a word


# article, claim, the experiment with the larger value, the one with the smaller, by what measure
HURTS = "depth raises the training error of plain networks"
HELPS = "shortcuts lower the test error"
KEEPS = "depth raises the training error of residual networks too"
CLAIMS = [
    Claim("S0", HURTS, "plain-56-signs32", "plain-20-signs32", training_error),
    Claim("S0", HURTS, "plain-110-signs32", "plain-20-signs32", training_error),
    Claim("S0", HURTS, "plain-56-signs32-long", "plain-20-signs32-long", training_error),
    Claim("S0", HURTS, "plain-110-signs32-long", "plain-20-signs32-long", training_error),
    Claim("S0", HURTS, "plain-56-cifar10", "plain-20-cifar10", training_error),
    Claim("S0", HURTS, "plain-110-cifar10", "plain-20-cifar10", training_error),
    Claim("S0", HURTS, "plain-34-cifar100", "plain-18-cifar100", training_error),
    Claim("S0", KEEPS, "resnet-56-signs32", "resnet-20-signs32", training_error),
    Claim("S0", KEEPS, "resnet-110-signs32", "resnet-20-signs32", training_error),
    Claim("S0", KEEPS, "resnet-56-cifar10", "resnet-20-cifar10", training_error),
    Claim("S0", KEEPS, "resnet-110-cifar10", "resnet-20-cifar10", training_error),
    Claim("S0", HELPS, "plain-20-signs32", "resnet-20-signs32", test_error),
    Claim("S0", HELPS, "plain-56-signs32", "resnet-56-signs32", test_error),
    Claim("S0", HELPS, "plain-110-signs32", "resnet-110-signs32", test_error),
    Claim("S0", HELPS, "plain-20-cifar10", "resnet-20-cifar10", test_error),
    Claim("S0", HELPS, "plain-56-cifar10", "resnet-56-cifar10", test_error),
    Claim("S0", HELPS, "plain-18-cifar100", "resnet-18-cifar100", test_error),
    Claim("S0", HELPS, "plain-34-cifar100", "resnet-34-cifar100", test_error),
    Claim("S0", HELPS, "plain-vgg-cifar10", "residual-vgg-cifar10", test_error),
    Claim(
        "S0", "a projection beats the identity", "residual-vgg-cifar10", "residual-vgg-projection-cifar10", test_error
    ),
    Claim(
        *("S0", "a 3×3 convolution on every shortcut beats the identity"),
        *("residual-vgg-cifar10", "residual-vgg-always-convolved-cifar10", test_error),
    ),
    Claim("S2", "more layers lower the test error", "vgg11-cifar100", "vgg16-cifar100", test_error),
    Claim("S2", "more layers lower the test error", "vgg16-cifar100", "vgg19-cifar100", test_error),
    Claim("S3", "ReLU learns faster than tanh", "alexnet4-tanh-cifar10", "alexnet4-relu-cifar10", *QUARTER),
    Claim("S3", "ReLU learns faster than the sigmoid", "alexnet4-sigmoid-cifar10", "alexnet4-relu-cifar10", *QUARTER),
    Claim("S3", "LRN is of use", "alexnet4-norm-none-cifar10", "alexnet4-norm-lrn-cifar10", test_error),
    Claim("S3", "batch norm beats LRN", "alexnet4-norm-lrn-cifar10", "alexnet4-norm-batch-cifar10", test_error),
    Claim("S3", "dropout reduces over-fitting", "vgg16-cifar100-no-dropout", "vgg16-cifar100-32px", gap),
]


def judged(claim: Claim, results: dict[str, Result]) -> tuple[str, tuple[float, float, float] | None]:
    """The verdict, and the difference with its interval where both experiments have run."""
    if claim.larger not in results or claim.smaller not in results:
        return NOT_DECIDED, None
    found = difference(*(claim.measure(results[name]) for name in (claim.larger, claim.smaller)))
    return verdict(*found, claim.effect), found
