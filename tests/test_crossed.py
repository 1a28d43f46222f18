import json
from pathlib import Path

import pandas as pd
import pytest
from conftest import as_signs, one_line, sha256
from test_sweep import trained_again_by_force
from test_train import experiment

import crossed

CELLS = [("he", "he"), ("he", "dirac"), ("dirac", "he"), ("dirac", "dirac")]


@pytest.fixture
def prepared(workspace, monkeypatch, unchanged):
    """The recipes of 8 layers on a data set of three greys, under the name of SIGNS, without a test set."""
    networks = {}
    for start, lengths in CELLS:
        name = f"plain-8-{start}-lengths-of-{lengths}"
        about = experiment(name) | {"dataset": "signs", "network": {"depth": 8, "shortcut": "none"}}
        networks[name] = about | {"start": start, "lengths": lengths}
    as_signs()
    Path("recipes/crossed.json").write_text(json.dumps(networks))
    monkeypatch.setattr("sys.argv", ["crossed.py"])
    monkeypatch.setenv("SEEDS_AT_ONCE", "1")


def test_a_line_per_network_and_seed_and_on_from_where_it_was_killed(prepared, capsys):
    crossed.main()
    table = pd.read_csv(crossed.TABLE)
    lines = list(zip(table.start, table.lengths, table.seed, strict=True))
    assert lines == [(*cell, seed) for cell in CELLS for seed in (0, 1)]
    assert table.depth.eq(8).all() and table.lr.eq(0.05).all() and table.scale.eq("full").all()
    own = table.start == table.lengths
    assert table[own].least_factor.eq(1).all() and table[own].largest_factor.eq(1).all()
    assert (table[~own].least_factor < table[~own].largest_factor).all()
    assert table.train_loss.nunique() == len(table)
    whole = sha256(crossed.TABLE)
    next(Path("runs/crossed/plain-8-dirac-lengths-of-he").glob("*.json")).unlink()
    capsys.readouterr()
    crossed.main()
    assert capsys.readouterr().out.count(": training error") == 1
    assert sha256(crossed.TABLE) == whole


def test_by_force_everything_is_trained_again(prepared, capsys):
    name = "plain-8-he-lengths-of-dirac"
    one = json.loads(crossed.RECIPES.read_text())[name]
    crossed.RECIPES.write_text(json.dumps({name: one}))
    assert trained_again_by_force(crossed, capsys) == 2


def test_mistakes_are_one_line(workspace, run_here):
    assert "recipes/crossed.json is missing: run `dvc repro recipes` first" in one_line(run_here("crossed"), 2)
