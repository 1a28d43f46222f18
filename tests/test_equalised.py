import json
from pathlib import Path

import pandas as pd
import pytest
from conftest import as_signs, one_line, sha256
from test_sweep import trained_again_by_force
from test_train import experiment

import equalised


@pytest.fixture
def prepared(workspace, monkeypatch, unchanged):
    """The recipes of 8 layers on a data set of three greys, under the name of SIGNS, without a test set."""
    networks = {}
    for name, shortcut in (("plain-8-looks-linear", "none"), ("residual-8-he", "identity")):
        about = experiment(name) | {"dataset": "signs"}
        start = name.split("-", 2)[2]
        networks[name] = about | {"network": {"depth": 8, "shortcut": shortcut}, "start": start}
    as_signs()
    Path("recipes/equalised.json").write_text(json.dumps({"ratios": [0.1, 1e-6], "networks": networks}))
    monkeypatch.setattr("sys.argv", ["equalised.py"])
    monkeypatch.setenv("SEEDS_AT_ONCE", "1")


def test_each_network_gets_all_seeds_with_its_best_length_alone(prepared, capsys):
    equalised.main()
    table = pd.read_csv(equalised.TABLE)
    for name, family in (("plain-8-looks-linear", "plain"), ("residual-8-he", "resnet")):
        own = table[table.network == name]
        first = own[own.seed == 0]
        assert own.family.eq(family).all() and first.ratio.tolist() == [0.1, 1e-6]
        best = first.sort_values("val_loss").ratio.iloc[0]
        assert best == 0.1  # with the other one nothing moves
        assert own[own.ratio == best].seed.tolist() == [0, 1]
        assert own[own.ratio != best].seed.tolist() == [0]
        assert (own.chosen == "yes").tolist() == (own.ratio == best).tolist()
    whole = sha256(equalised.TABLE)
    next(Path("runs/equalised/residual-8-he-0.1").glob("*.json")).unlink()
    capsys.readouterr()
    equalised.main()
    assert capsys.readouterr().out.count(": training error") == 1
    assert sha256(equalised.TABLE) == whole


def test_a_run_that_diverged_is_not_the_best():
    rows = [{"diverged": "yes", "val_loss": 0.1, "ratio": 1.0}, {"diverged": "no", "val_loss": 2.0, "ratio": 0.1}]
    assert equalised.best(rows)["ratio"] == 0.1
    assert equalised.best(rows[:1])["ratio"] == 1.0


def test_by_force_everything_is_trained_again(prepared, capsys):
    assert trained_again_by_force(equalised, capsys) == 2 * (2 + 1)  # two lengths, and one seed more


def test_mistakes_are_one_line(workspace, run_here):
    assert "recipes/equalised.json is missing: run `dvc repro recipes` first" in one_line(run_here("equalised"), 2)
