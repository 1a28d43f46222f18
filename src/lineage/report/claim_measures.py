"""What a claim may be about: the numbers of an experiment, seed by seed, by the name that study.yaml has for each."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lineage.report.results import Result

QUARTER = 0.25  # of the training images wrong (Krizhevsky et al. 2012, Fig. 1)


@dataclass(frozen=True)
class Measure:
    """A number of each seed. Percentage points, epochs, or the logarithm of a ratio."""

    of: Callable[[Result], pd.Series]
    unit: str = "pp"
    images: bool = False  # of test images: their sampling and their number limit what can be said
    accuracy: bool = False  # of them the share that is right, not the share that is wrong
    less_train: bool = False  # less the training error

    @property
    def ratio(self) -> bool:
        return self.unit == "×"


def test_error(result: Result) -> pd.Series:
    return 100 * result.error("test")


def train_error(result: Result) -> pd.Series:
    """On clean training images, after training."""
    return 100 * result.error("train")


def gap(result: Result) -> pd.Series:
    """What a network does worse on images that it has not seen."""
    return test_error(result) - train_error(result)


def epochs(result: Result) -> pd.Series:
    """Epochs until a quarter of the training images is wrong, on a straight line from one epoch to the next; infinitely
    many where that never happens.
    """
    return result.history.groupby("seed").apply(_reached, include_groups=False)


def _reached(history: pd.DataFrame) -> float:
    """Of one seed."""
    there = history[history.train_error <= QUARTER]
    if there.empty:
        return math.inf
    last = there.epoch.iloc[0]
    around = history[history.epoch.isin((last - 1, last))]  # which is the first epoch alone where that is enough
    return float(np.interp(QUARTER, around.train_error[::-1], around.epoch[::-1]))


MEASURES = {
    "test_error": Measure(test_error, images=True),
    "test_accuracy": Measure(lambda result: 100 * result.top1("test"), images=True, accuracy=True),
    "train_error": Measure(train_error),
    "gap": Measure(gap, images=True, less_train=True),
    "epochs": Measure(epochs, "epochs"),
    "epochs_ratio": Measure(lambda result: np.log(epochs(result)), "×"),
    "train_loss": Measure(lambda result: np.log(result.loss("train")), "×"),
    "failed": Measure(lambda result: (~result.started()).astype(float), "seeds"),
}
