import json
from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt

from lineage.report import first_steps

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
    assert "| Dirac | 2 | 2 | 0.001 … 0.002 |  | nothing to tell apart |  |  |" in text
    assert (
        "| trust | 2 | 1 | 0.01 | 200 | 1.4: wrong 0 times (one answer for all: 1) | wrong 0 times | wrong 0 times |"
        in text
    )
    one_answer = "none is better than one answer for all, which is wrong once"
    assert f"| He | 4 | 3 | 0.01 … 300 | 300 | {one_answer} | wrong once | wrong once |" in text
    assert f"| He and Dirac | 6 | 5 | 0.001 … 300 | 300 | {one_answer} | wrong once | wrong once |" in text
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
    assert lines[-2].startswith(
        "From He's initialisation the size of the first step, known before training, tells most"
    )
    assert lines[-1] == "From the Dirac initialisation all 2 runs started."


def test_the_opening_where_some_of_the_deepest_start(workspace):
    swept(ERRORS, STEPS)
    assert "**Plain networks of 110 layers start to train with some of 1 learning rates** (" in first_steps.finding()[0]
    swept({key: (0.0,) for key in ERRORS}, STEPS)
    assert first_steps.finding() == []  # all start
