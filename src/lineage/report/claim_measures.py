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
    accuracy: bool = False  # the share of correct answers, not of wrong ones
    less_train: bool = False  # minus the training error

    @property
    def ratio(self) -> bool:
        return self.unit == "×"


def test_error(result: Result) -> pd.Series:
    return 100 * result.error("test")


def train_error(result: Result) -> pd.Series:
    """On clean training images, after training."""
    return 100 * result.error("train")


def gap(result: Result) -> pd.Series:
    """The generalisation gap: test error minus training error."""
    return test_error(result) - train_error(result)


def epochs(result: Result, error: float = QUARTER) -> pd.Series:
    """Epochs until the training error has fallen to `error`; infinitely many where it never does. The error of an epoch
    is the mean over its steps and counts in its middle, with a straight line in between, from chance level at 0.
    """
    chance = 1 - 1 / len(result.labels["classes"])
    return result.history.groupby("seed").apply(_reached, chance, error, include_groups=False)


def _reached(history: pd.DataFrame, chance: float, error: float) -> float:
    """Of one seed."""
    times, errors = np.append(0, history.epoch - 0.5), np.append(chance, history.train_error)
    there = np.flatnonzero(errors <= error)
    if not len(there):
        return math.inf
    if there[0] == 0:  # chance level is enough
        return 0.0
    around = [there[0], there[0] - 1]
    return float(np.interp(error, errors[around], times[around]))


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
