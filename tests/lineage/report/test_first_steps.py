import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from lineage.report import crossing, first_steps

STARTS = {"he": {}, "dirac": {}, "trust": {"trust": 0.02}}


def drawn(figure, name, shows):
    plt.close(figure)
    return [f"![{shows}]({name})", ""]


def recipe(depth, scale="full", **others):
    return {"scale": scale, "classes": 6, "network": {"depth": depth, "shortcut": "none"}, "recipe": others}


def write(path, recipes, rows, scale="full"):
    for place in (path, Path("recipes")):
        (place.parent if place.suffix else place).mkdir(parents=True, exist_ok=True)
    Path("recipes", f"{path.stem}.json").write_text(json.dumps(recipes))
    pd.DataFrame(rows).assign(scale=scale).to_csv(path, index=False)


def swept(errors, steps, scale="full"):
    """A sweep over two depths at one rate: errors and first steps by start and depth, one for each seed."""
    rows = [
        {"start": start, "depth": depth, "lr": 0.1, "epochs": 30, "seed": seed, "first_step": steps[start, depth]}
        | {"train_error": error, "val_error": error, "trained": "yes" if error < 0.66 else "no", "diverged": "no"}
        for (start, depth), values in errors.items()
        for seed, error in enumerate(values)
    ]
    recipes = {start: [recipe(depth, lr=0.1, **STARTS[start]) for depth in (20, 110)] for start, _ in errors}
    write(first_steps.SWEEP, recipes, rows, scale)


ERRORS = {("he", 20): (0.01, 0.02), ("he", 110): (0.8, 0.5), ("dirac", 20): (0.0,), ("dirac", 110): (0.03,)}
STEPS = {("he", 20): 0.01, ("he", 110): 300.0, ("dirac", 20): 0.001, ("dirac", 110): 0.002}


def test_what_has_not_run_at_this_scale_for_these_networks_is_not_shown(workspace):
    assert first_steps.sweep({}, drawn) == []
    swept(ERRORS, STEPS, scale="sample")
    assert first_steps.sweep({}, drawn) == []
    swept(ERRORS, STEPS)
    assert first_steps.sweep({}, drawn) != []
    table = pd.read_csv(first_steps.SWEEP)
    table[table.depth == 20].to_csv(first_steps.SWEEP, index=False)
    assert first_steps.sweep({}, drawn) == []
    Path("recipes/sweep.json").unlink()
    assert first_steps.sweep({}, drawn) == []


def test_the_sweep_in_numbers(workspace):
    limited = {("trust", 20): (0.01,), ("trust", 110): (0.9,)}
    swept(ERRORS | limited, STEPS | {("trust", 20): 0.01, ("trust", 110): 200.0})
    text = "\n".join(first_steps.sweep({}, drawn))
    assert "| initialisation | learning rate | 20 layers | 110 layers |" in text
    assert "| He | 0.1 | 1.5 (2 of 2) | **65.0** (1 of 2) |" in text
    assert "| Dirac | 0.1 | 0.0 | 3.0 |" in text and "| trust | 0.1 | 1.0 | **90.0** |" in text
    assert "| Dirac | 2 | 2 | 0.001 … 0.002 |  | nothing to tell apart |  |" in text
    assert "| trust | 2 | 1 | 0.01 | 200 | 1.4: wrong 0 times (one answer for all: 1) | wrong 0 times |" in text
    one_answer = "none is better than one answer for all, which is wrong once"
    assert f"| He | 4 | 3 | 0.01 … 300 | 300 | {one_answer} | wrong once |" in text
    assert f"| He and Dirac | 6 | 5 | 0.001 … 300 | 300 | {one_answer} | wrong once |" in text
    assert "| all | 8 | 6 |" in text and "(first-steps.svg)" in text
    assert "From `trust` no step is larger than 2 % of ‖W‖." in text


def test_the_finding(workspace):
    assert first_steps.finding() == []
    swept(ERRORS | {("he", 110): (0.8, 0.7)}, STEPS)
    (said,) = first_steps.finding()
    assert "With none of 1 learning rates do plain networks of 110 layers start to train from He's init" in said
    opening, *lines = said.split("\n    - ")
    assert opening.endswith("[More](#does-the-first-step-tell-which-networks-train).")
    assert lines[:2] == [
        "From He's initialisation, 20 layers: 1.5 (2 of 2).",
        "From He's initialisation, 110 layers: 75.0 (0 of 2).",
    ]
    assert lines[2].startswith("From the Dirac initialisation, 20 layers: ")
    first = "From He's initialisation the size of the first step, known before training, tells most runs that start"
    rest = "a threshold of 1.7 times ‖W‖, chosen on the same runs, is right in 4 of 4, one on the depth in 4; to say of"
    assert lines[-2].startswith(f"{first} from those that do not: {rest} all that they do not start would be right in")
    half = "Whether a run ends below 50 %, the best threshold on the first step tells in 4, the best on the depth in 4."
    assert lines[-2].endswith(f" in 2. {half}")
    assert lines[-1] == "From the Dirac initialisation all 2 runs started."


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
        "threshold on the depth in 3."
    )
    swept(ERRORS, STEPS)
    assert "**Plain networks of 110 layers start to train with some of 1 learning rates** (" in first_steps.finding()[0]
    swept({key: (0.0,) for key in ERRORS}, STEPS)
    assert first_steps.finding() == []  # all start


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
    found = first_steps.threshold(10.0**order, np.array([trained[i] == "y" for i in order]))
    assert found == pytest.approx(expected)
