import json
from pathlib import Path

import pandas as pd
import pytest
from conftest import as_signs, one_line, sha256
from test_sweep import trained_again_by_force
from test_train import experiment

import float64


@pytest.fixture
def prepared(workspace, monkeypatch, unchanged):
    """The recipes of 8 layers on a data set of three greys, under the name of SIGNS, without a test set."""
    networks = {}
    for name, more in (("plain-8", {}), ("plain-8-equalised", {"ratio": 0.1}), ("plain-8-short", {"ratio": 1e-6})):
        about = experiment(name, precision="fp32") | {"dataset": "signs"}
        networks[name] = about | {"network": {"depth": 8, "shortcut": "none"}} | more
    networks["plain-8-short"]["recipe"]["seeds"] = 1
    as_signs()
    Path("recipes/float64.json").write_text(json.dumps(networks))
    monkeypatch.setattr("sys.argv", ["float64.py"])
    monkeypatch.setenv("SEEDS_AT_ONCE", "1")


def test_a_line_per_network_and_seed_and_on_from_where_it_was_killed(prepared, capsys):
    float64.main()
    table = pd.read_csv(float64.TABLE)
    lines = list(zip(table.network, table.seed, strict=True))
    assert lines == [(n, s) for n in ("plain-8", "plain-8-equalised") for s in (0, 1)] + [("plain-8-short", 0)]
    assert table.ratio.isna().tolist() == [True, True, False, False, False]
    assert table.depth.eq(8).all() and table.scale.eq("full").all() and table.diverged.eq("no").all()
    errors = table.set_index(["network", "seed"]).train_error
    assert errors["plain-8", 0] < 0.2 and errors["plain-8-equalised", 0] < 0.2  # three greys are easy
    assert errors["plain-8-short", 0] > 0.4  # nothing moves
    whole = sha256(float64.TABLE)
    next(Path("runs/float64/plain-8-equalised").glob("*.json")).unlink()
    capsys.readouterr()
    float64.main()
    assert capsys.readouterr().out.count(": training error") == 1
    assert sha256(float64.TABLE) == whole


def test_by_force_everything_is_trained_again(prepared, capsys):
    assert trained_again_by_force(float64, capsys) == 2 + 2 + 1


def test_mistakes_are_one_line(workspace, run_here):
    assert "recipes/float64.json is missing: run `dvc repro recipes` first" in one_line(run_here("float64"), 2)
