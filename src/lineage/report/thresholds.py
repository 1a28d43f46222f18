"""Whether a threshold on the first step tells which runs of src/sweep.py start to train, and whether depth and learning
rate tell as much without it.
"""

import numpy as np
import pandas as pd

from lineage.report import crossing
from lineage.report.gradient_growth import THEORY
from lineage.report.markdown import digits, span

HALF = 0.5  # of the training images wrong
FORESEEN = f"learning rate × {THEORY:.2f}^depth"


def prediction(runs: pd.DataFrame) -> tuple[int | str, ...]:
    """How many runs there are and how many started, the first steps of both kinds, and what the best thresholds on the
    first step, on `foreseen` and on the depth do.
    """
    started, steps = (runs.trained == "yes").to_numpy(), runs.first_step.to_numpy()
    counts = len(runs), int(started.sum()), span(steps[started]), span(steps[~started])
    if started.all() or not started.any():
        return *counts, "nothing to tell apart", "", ""
    value, wrong = threshold(steps, started)
    rarer = min(started.sum(), (~started).sum())
    others = [f"wrong {_times(threshold(one.to_numpy(), started)[1])}" for one in (foreseen(runs), runs.depth)]
    if wrong == rarer:
        return *counts, f"none is better than one answer for all, which is wrong {_times(rarer)}", *others
    return *counts, f"{value:.2g}: wrong {_times(wrong)} (one answer for all: {rarer})", *others


def told(start: str, runs: pd.DataFrame, everything: pd.DataFrame) -> str:
    """How well the first step, the depth, and what `foreseen` makes of depth and learning rate tell which runs from one
    initialisation start; `everything` has the runs from the others, too.
    """
    words, started = crossing.WHO.get(start, start), (runs.trained == "yes").to_numpy()
    if started.all() or not started.any():
        return f"From {words} {'all' if started.all() else 'none of'} {len(runs)} runs started."
    value, wrong = threshold(runs.first_step.to_numpy(), started)
    by_depth, unmeasured = (threshold(one.to_numpy(), started)[1] for one in (runs.depth, foreseen(runs)))
    usual = max(started.sum(), (~started).sum())
    one_answer = (
        f"to say of all that they {'start' if started.mean() > 0.5 else 'do not start'} would be right in {usual}"
    )
    if len(runs) - wrong == usual:
        return (
            f"From {words} no threshold on the size of the first step, known before training, tells better whether the "
            f"{len(runs)} runs start than one answer for all: {one_answer}, by a threshold on the depth in "
            f"{len(runs) - by_depth}, by one on {FORESEEN} in {len(runs) - unmeasured}."
        )
    opening = f"From {words} the size of the first step, known before training, tells most runs that start from those "
    opening += "that do not"
    if unmeasured <= wrong:
        opening += ", but no better than depth and learning rate do without any measurement"
    return (
        f"{opening}: a threshold of {digits(value)} times ‖W‖, chosen on the same runs, is right in "
        f"{len(runs) - wrong} of {len(runs)}, one on {FORESEEN} in {len(runs) - unmeasured}, one on the depth in "
        f"{len(runs) - by_depth}; {one_answer}.{of_all(runs, everything)}{between_seeds(runs)}{elsewhere(runs)}"
        f"{where_crossed(value, everything)}"
    )


def of_all(runs: pd.DataFrame, everything: pd.DataFrame) -> str:
    """How well both tell which of all runs start, where there are others."""
    if len(everything) == len(runs):
        return ""
    started = (everything.trained == "yes").to_numpy()
    both = everything.first_step, foreseen(everything)
    step, unmeasured = (len(started) - threshold(one.to_numpy(), started)[1] for one in both)
    return (
        f" Over all initialisations, the best threshold on the first step is right in {step} of {len(started)}, the "
        f"best on {FORESEEN} in {unmeasured}."
    )


def between_seeds(runs: pd.DataFrame) -> str:
    """In how many pairs of seeds of one network and learning rate, of which one started, it has the smaller step."""
    larger = [
        failed > started
        for _, some in runs.groupby(["depth", "lr"])
        for failed in some.first_step[some.trained == "no"]
        for started in some.first_step[some.trained == "yes"]
    ]
    if not larger:
        return ""
    return (
        f" Of the {len(larger)} pairs of seeds of the same network and learning rate in which one started and the "
        f"other did not, the one that started has the smaller first step in {sum(larger)}."
    )


def elsewhere(runs: pd.DataFrame) -> str:
    """How well both tell which runs end below a training error that is clearly lower, where some do and some do not."""
    well = (runs.train_error < HALF).to_numpy()
    if well.all() or not well.any():
        return ""
    told = (runs.first_step, foreseen(runs), runs.depth)
    step, unmeasured, depth = (len(runs) - threshold(values.to_numpy(), well)[1] for values in told)
    return (
        f" Whether a run ends below {100 * HALF:.0f} %, the best threshold on the first step tells in {step}, the best "
        f"on {FORESEEN} in {unmeasured}, the best on the depth in {depth}."
    )


def where_crossed(value: float, runs: pd.DataFrame) -> str:
    """How often the threshold is wrong where a network has the first gradients of another initialisation, and with them
    the first step of that one, as `runs` have it.
    """
    wrong, count = 0, 0
    for one in crossing.read():
        about = one.runs.iloc[0]
        alike = runs[(runs.start == one.lengths) & (runs.depth == about.depth) & (runs.lr == about.lr)]
        if one.start != one.lengths and len(alike):
            starts = "yes" if alike.first_step.mean() <= value else "no"
            wrong, count = wrong + int((one.runs.trained != starts).sum()), count + len(one.runs)
    if not count:
        return ""
    return (
        f" Where a network has the first gradients of another initialisation ([below](#{crossing.PLACE})), the same "
        f"threshold on the first step is wrong in {wrong} of {count} runs."
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def foreseen(runs: pd.DataFrame) -> pd.Series:
    """What the first step should be proportional to by theory, without any measurement."""
    return runs.lr * THEORY**runs.depth


def threshold(steps: np.ndarray, trained: np.ndarray) -> tuple[float, int]:
    """Above which first step (or depth) runs fail, as far as one number can say it: that number, the lowest of equals,
    and how many runs it is wrong about.
    """
    finite = np.sort(np.unique(steps))
    between = [0.0, *np.sqrt(finite[:-1] * finite[1:]), np.inf]
    wrong = [int(((steps > value) == trained).sum()) for value in between]
    best = int(np.argmin(wrong))
    return float(between[best]), wrong[best]
