import json
import re
from pathlib import Path

import pandas as pd
import pytest

from lineage.engine.experiment import Experiment
from lineage.report import crossing

RECIPE = {"epochs": 3, "seeds": 3, "input_size": 32, "batch_size": 4, "lr": 0.03, "schedule": "steps"}
ABOUT = {"scale": "full", "dataset": "hands", "classes": 2, "model": "resnet"}
CELLS = [("he", "he"), ("he", "dirac"), ("dirac", "he"), ("dirac", "dirac")]


@pytest.fixture
def write(workspace):
    """Writes the table, given the training errors of each network; a seed with 0.4 or more did not start."""
    crossing.TABLE.parent.mkdir(parents=True, exist_ok=True)
    Path("recipes").mkdir(exist_ok=True)
    recipes = {}
    for start, lengths in CELLS:
        name = f"{start}-{lengths}"
        one = Experiment(**ABOUT, name=name, network={"depth": 110, "shortcut": "none"}, recipe=RECIPE)
        recipes[name] = one.changes() | {"start": start, "lengths": lengths}
    Path("recipes/crossed.json").write_text(json.dumps(recipes))

    def table(*errors, scale="full"):
        rows = []
        for (start, lengths), several in zip(CELLS, errors, strict=True):
            for seed, error in enumerate(several):
                row = {"start": start, "lengths": lengths, "depth": 110, "lr": 0.03, "seed": seed, "scale": scale}
                row |= {"least_factor": 0.5 if seed else 0.25, "largest_factor": 3e6, "train_error": error}
                row |= {"train_loss": 0.5, "val_error": 0.01 + error / 2, "trained": "yes" if error < 0.4 else "no"}
                rows.append(row)
        pd.DataFrame(rows).to_csv(crossing.TABLE, index=False)

    return table


def text():
    return "\n".join(crossing.section({}, None))


def test_before_it_has_run_at_this_scale(write):
    assert crossing.section({}, None) == crossing.finding() == []
    write([0.8], [0.8], [0.8], [0.8], scale="sample")
    assert crossing.section({}, None) == crossing.finding() == []
    write([0.8], [0.8], [0.8], [0.1])
    assert crossing.section({}, None) and crossing.finding()
    table = pd.read_csv(crossing.TABLE)
    table[table.start == "he"].to_csv(crossing.TABLE, index=False)
    assert crossing.section({}, None) == crossing.finding() == []


def test_each_function_with_each_lengths(write):
    write([0.8, 0.9], [0.3, 0.5], [0.5, 0.6], [0.0, 0.01])
    he = "| He | its own | 1 | 0 of 2 | 85.00 ± 7.07 | 0.5 | 43.50 ± 3.54 |"
    crossed = "| He | identity + 0.1 He (Dirac) | 0.25 … 3,000,000 | 1 of 2 | 40.00 ± 14.14 | 0.5 |"
    assert he in text() and crossed in text()
    (said,) = crossing.finding()
    opening = (
        "**With the first gradients of another initialisation there started of plain networks of 110 layers 1 of 2 "
    )
    assert said.startswith(
        f"{opening}from He's initialisation with the gradient norms of the Dirac initialisation, 0 of 2 from "
    )
    dirac = "The Dirac initialisation with the gradient norms of He's initialisation: 0 of 2 seeds started, training"
    assert (
        f"{dirac} error 55.00 ± 7.07 %; with its own 2 of 2 seeds started, training error 0.50 ± 0.71 %; the error"
        in said
    )
    assert (
        "; the error of every seed is lower with its own. Fisher's exact test of the seeds that started: p = " in said
    )
    norms = "those of He's initialisation: p = 1, those of the Dirac initialisation: p = 1"
    assert f"with the same norms on both sides ({norms})." in said


def values(said):
    """Those of Fisher's exact test."""
    return re.findall(r": p = ([\d.e-]+)[,)]", said)


def test_whether_it_is_the_function(write):
    """Four seeds against four are enough for a test, if all of them say the same."""
    write([0.8] * 4, [0.9] * 4, [0.3, 0.3, 0.2, 0.2], [0.0, 0.1, 0.0, 0.1])
    (said,) = crossing.finding()
    assert said.startswith(
        "**From He's initialisation and the Dirac initialisation, whether plain networks of 110 layers start to train "
        "probably depends on the function that they begin with and on the directions of its gradients** (exploratory; "
        "learning rate 0.03, chosen for the Dirac initialisation with its own norms)."
    )
    assert "difference +20.00 pp (" in said and values(said) == ["0.029", "0.029"]
    # that no seed changed its answer does not show that the norms do not matter: 1 - 0.025^(1/4) is 60 %
    assert "4 seeds exclude only a probability of starting above 60 % (exact 95 % interval), so the norms may" in said
    assert "4 seeds exclude only a probability of starting below 40 % (exact 95 % interval), so the norms may" in said
    write([0.8] * 4, [0.7] * 4, [0.3, 0.3, 0.2, 0.2], [0.0, 0.1, 0.0, 0.1])
    assert "error 80.00 ± 0.00 %; the error of every seed is higher with its own. With" in crossing.finding()[0]
    write([0.8] * 10, [0.1, 0.9] * 5, [0.1] * 10, [0.0] * 10)  # with the norms, too
    assert values(crossing.finding()[0]) == ["1.1e-05", "0.033"]
    assert crossing.finding()[0].startswith("**From He's initialisation and the Dirac initialisation, whether plain ")
    assert "test of the seeds that started: p = 0.033." in crossing.finding()[0]
    write([0.8] * 4, [0.1] * 4, [0.9] * 4, [0.0] * 4)  # with the lengths
    assert crossing.finding()[0].startswith("**With the first gradients of another initialisation there started of ")


@pytest.mark.parametrize(
    ("he", "dirac", "right"),
    [
        ([0.3, 0.9], [0.5, 0.6], (True, True)),
        ([0.9, 0.9], [0.1, 0.6], (False, False)),
        ([0.1, 0.1], [0.6, 0.6], (False, True)),  # it starts, and trains too well
    ],
)
def test_what_was_predicted(write, he, dirac, right):
    write([0.9, 0.9], he, dirac, [0.0, 0.0])
    *_, outcome, _ = crossing.section({}, None)
    assert outcome.startswith("Outcome: He's initialisation with the gradient norms of")
    assert outcome.count("predicted)") == 2
    first, second = outcome.split("; ")
    assert ("(as predicted)" in first, "(as predicted)" in second) == right
