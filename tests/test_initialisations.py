import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import as_signs, one_line, sha256
from test_sweep import trained_again_by_force
from test_train import experiment

import initialisations
from lineage import row_measures, runs

CPU = torch.device("cpu")


@pytest.fixture
def prepared(workspace, monkeypatch, unchanged):
    """The recipes of 8 layers on a data set of three greys, under the name of SIGNS, without a test set."""
    recipes = {}
    for name in ("random-0.1", "looks-linear"):
        about = experiment(f"plain-8-{name}") | {"dataset": "signs"}
        recipes[name] = about | {"network": {"depth": 8, "shortcut": "none"}}
    as_signs()
    Path("recipes/initialisations.json").write_text(json.dumps(recipes))
    monkeypatch.setattr("sys.argv", ["initialisations.py"])
    monkeypatch.setenv("SEEDS_AT_ONCE", "1")


def test_every_initialisation_and_seed(prepared, capsys):
    initialisations.main()
    table = pd.read_csv(initialisations.TABLE)
    pairs = [(name, seed) for name in ("random-0.1", "looks-linear") for seed in range(2)]
    assert list(zip(table.initialisation, table.seed, strict=True)) == pairs
    assert table.train_error.between(0, 1).all() and set(table.trained) <= {"yes", "no"}
    assert table.gradient_ratio.nunique() == 4
    found = table.set_index(["initialisation", "seed"]).gradient_ratio
    for name, one in initialisations.read().items():  # before any training
        run = runs.Run(one, 1, Path("runs"), "key", {"initialisation": name})
        expected = row_measures.first_step(initialisations.begun(run, CPU), one, CPU)["gradient_ratio"]
        assert found[name, 1] == pytest.approx(expected, rel=1e-4)
    whole = sha256(initialisations.TABLE)
    next(Path("runs/initialisations/plain-8-looks-linear").glob("*.json")).unlink()
    capsys.readouterr()
    initialisations.main()
    assert capsys.readouterr().out.count(": training error") == 1
    assert sha256(initialisations.TABLE) == whole


def test_training_begins_with_the_initialisation(prepared, monkeypatch):
    """With a tenth of He's weights a run ends as an experiment with `initialisation: dirac` does."""
    initialisations.main()
    table = pd.read_csv(initialisations.TABLE)
    one = initialisations.read()["random-0.1"]
    network = one.network.model_copy(update={"initialisation": "dirac"})
    dirac = runs.Run(one.model_copy(update={"network": network}), 1, Path("runs/dirac"), "key")
    row = runs.carry_out("dirac", [dirac], lambda run: row_measures.scores(runs.trained(run, CPU)[0], one, CPU), CPU)[0]
    ours = table[(table.initialisation == "random-0.1") & (table.seed == 1)].iloc[0]
    assert ours.train_loss == pytest.approx(row["train_loss"], abs=1e-6)
    assert ours.val_loss == pytest.approx(row["val_loss"], abs=1e-6)


def test_by_force_everything_is_trained_again(prepared, capsys):
    assert trained_again_by_force(initialisations, capsys) == 2 * 2


def test_mistakes_are_one_line(workspace, run_here):
    said = one_line(run_here("initialisations"), 2)
    assert "recipes/initialisations.json is missing: run `dvc repro recipes` first" in said
