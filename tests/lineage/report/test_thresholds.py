import numpy as np
import pandas as pd
import pytest
from test_first_steps import ERRORS, STEPS, swept

from lineage.report import crossing, first_steps, thresholds


def runs(*rows):
    """Of depth, learning rate, first step and training error; with a third wrong or more a run did not start."""
    table = pd.DataFrame(rows, columns=["depth", "lr", "first_step", "train_error"])
    return table.assign(trained=np.where(table.train_error < 0.33, "yes", "no"))


def test_what_depth_and_learning_rate_tell_without_a_measurement(workspace):
    """Two runs of 20 layers and two of 56, of which the deeper ones fail at the higher rate only."""
    some = runs((20, 0.1, 0.01, 0.0), (20, 0.01, 0.001, 0.0), (56, 0.1, 200.0, 0.8), (56, 0.01, 20.0, 0.1))
    assert thresholds.foreseen(some).tolist() == pytest.approx([4.6146, 0.46146, 4566.3, 456.63], rel=1e-4)
    assert thresholds.told("he", some, some) == (
        "From He's initialisation the size of the first step, known before training, tells most runs that start from "
        "those that do not, but no better than depth and learning rate do without any measurement: a threshold of 63 "
        "times ‖W‖, chosen on the same runs, is right in 4 of 4, one on learning rate × 1.21^depth in 4, one on the "
        "depth in 3; to say of all that they start would be right in 3. Whether a run ends below 50 %, the best "
        "threshold on the first step tells in 4, the best on learning rate × 1.21^depth in 4, the best on the depth in "
        "3."
    )
    steps = "0.001 … 20 | 200 | 63: wrong 0 times (one answer for all: 1) | wrong 0 times | wrong once"
    assert " | ".join(map(str, thresholds.prediction(some)[2:])) == steps


def test_where_the_measurement_tells_more(workspace):
    """Two runs of the same depth and rate differ in their first steps alone."""
    some = runs((20, 0.1, 0.01, 0.0), (56, 0.1, 20.0, 0.1), (56, 0.1, 200.0, 0.3), (56, 0.1, 300.0, 0.8))
    some = pd.concat([some, runs((56, 0.1, 400.0, 0.8))])
    said = thresholds.told("he", some, some)
    assert "tells most runs that start from those that do not: a threshold of 245 times" in said
    assert "is right in 5 of 5, one on learning rate × 1.21^depth in 3, one on the depth in 3;" in said
    assert (
        "Of the 4 pairs of seeds of the same network and learning rate in which one started and the other did " in said
    )
    assert "did not, the one that started has the smaller first step in 4." in said
    assert "Over all" not in said
    more = pd.concat([some, runs((110, 0.1, 0.001, 0.0))])  # another initialisation
    wider = (
        " Over all initialisations, the best threshold on the first step is right in 6 of 6, the best on learning rate"
    )
    assert f"{wider} × 1.21^depth in 4." in thresholds.told("he", some, more)
    other = some.assign(first_step=some.first_step.tolist()[::-1])
    assert "smaller first step in 0." in thresholds.between_seeds(other)
    assert thresholds.between_seeds(some[some.trained == "yes"]) == ""


def test_the_threshold_where_function_and_norms_are_crossed(workspace, monkeypatch):
    """He's function with small first steps does not start, and the Dirac one with large ones does."""
    swept(ERRORS | {("he", 110): (0.8, 0.7)}, STEPS)
    assert "first gradients of another" not in first_steps.finding()[0]
    runs = pd.DataFrame({"depth": 110, "lr": 0.1, "trained": ["no", "no", "yes"]})
    cells = [("he", "he", runs), ("he", "dirac", runs), ("dirac", "he", runs.assign(trained="yes"))]
    monkeypatch.setattr(crossing, "read", lambda: [crossing.Case(*cell) for cell in cells])
    assert "the same threshold on the first step is wrong in 5 of 6 runs." in first_steps.finding()[0]
    monkeypatch.setattr(crossing, "read", lambda: [crossing.Case("he", "dirac", runs.assign(lr=0.03))])
    assert "first gradients of another" not in first_steps.finding()[0]  # of a learning rate that was not swept


def test_no_threshold_is_named_where_none_helps(workspace):
    swept(ERRORS | {("he", 20): (0.8, 0.01), ("he", 110): (0.02, 0.03)}, STEPS)
    told = first_steps.finding()[0].split("\n    - ")[-2]
    assert told == (
        "From He's initialisation no threshold on the size of the first step, known before training, tells better "
        "whether the 4 runs start than one answer for all: to say of all that they start would be right in 3, by a "
        "threshold on the depth in 3, by one on learning rate × 1.21^depth in 3."
    )


@pytest.mark.parametrize(
    ("trained", "expected"),
    [
        ("yyyy", (np.inf, 0)),
        ("nnnn", (0.0, 0)),
        ("yynn", (10**1.5, 0)),
        ("ynyn", (10**0.5, 1)),
        ("nnyy", (0.0, 2)),  # the other way round
        ("yyny", (10**1.5, 1)),
    ],
)
def test_the_best_threshold(trained, expected):
    """First steps of 1, 10, 100 and 1000, in another order."""
    order = np.array([2, 0, 3, 1])
    found = thresholds.threshold(10.0**order, np.array([trained[i] == "y" for i in order]))
    assert found == pytest.approx(expected)
