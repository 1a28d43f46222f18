import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import REPOSITORY, as_signs, one_line, sha256
from test_train import experiment

import sweep
from lineage.engine import training

TRAINS, FAILS = 0.05, 1e-9  # learning rates


def prepared(starts=("he", "trust"), depths=(8, 14), lrs=(TRAINS, FAILS), seeds=2, **recipe):
    """The recipes of a small sweep on a data set of three greys, under the name of SIGNS, without a test set."""
    changes = {"he": {}, "trust": {"trust": 0.02}}
    recipes = {}
    for start in starts:
        recipes[start] = []
        for lr in lrs:
            for depth in depths:
                about = experiment(f"plain-{depth}-{start}-{lr:g}", lr=lr, seeds=seeds, **changes[start] | recipe)
                about["network"] = {"depth": depth, "shortcut": "none"}
                recipes[start].append(about | {"dataset": "signs"})
    as_signs()
    Path("recipes/sweep.json").write_text(json.dumps(recipes))


@pytest.fixture
def in_process(monkeypatch, unchanged):
    """`main` in this process, one run at a time."""
    monkeypatch.setattr("sys.argv", ["sweep.py"])
    monkeypatch.setenv("SEEDS_AT_ONCE", "1")
    monkeypatch.setenv("CHECKPOINT_SECONDS", "0")


def least(content):
    """What a file of recipes/ says, with one epoch of one batch in every experiment."""
    if isinstance(content, list):
        return [least(one) for one in content]
    if not isinstance(content, dict):
        return content
    if "recipe" not in content:
        return {key: least(one) for key, one in content.items()}
    return content | {"recipe": content["recipe"] | {"epochs": 1}, "max_images": content["recipe"]["batch_size"]}


def trained_again_by_force(stage, capsys):
    """Once dvc.lock has its table, as where it is forced, a stage trains every run again, from the first epoch on, and
    the table is the same. Returns the number of runs. They are cut down to seconds.
    """
    stage.RECIPES.write_text(json.dumps(least(json.loads(stage.RECIPES.read_text()))))
    trained, epoch = [], training.Training.epoch

    def counted(job, *others):
        trained.append(job)
        return epoch(job, *others)

    def everything():
        trained.clear()
        stage.main()
        said = re.findall("^seed .+: (?:training|validation) error .+", capsys.readouterr().out, re.M)
        return said, len(trained), sha256(stage.TABLE)

    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Training, "epoch", counted)
        first = everything()
        complete = json.loads((stage.RUNS / "complete.json").read_text())
        Path("dvc.lock").write_text(f"md5: {complete['history']}\n")
        assert everything() == first
    said, epochs, _ = first
    assert len(said) == len(list(stage.RUNS.glob("*/seed-*.json"))) == epochs
    return len(said)


def test_the_boundary_is_where_a_neighbour_has_another_answer():
    depths, lrs = (20, 32, 44, 56), (0.1, 0.03, 0.01)
    trained = {("he", lr, depth): depth < 44 or (lr == 0.01 and depth == 44) for lr in lrs for depth in depths}
    trained |= {("dirac", lr, depth): True for lr in lrs for depth in depths}
    expected = [(0.1, 32), (0.1, 44), (0.03, 32), (0.03, 44), (0.01, 44), (0.01, 56)]
    assert sweep.boundary(trained) == [("he", lr, depth) for lr, depth in expected]
    alone = {cell: cell != ("he", 0.03, 44) for cell in trained}  # one that fails amid others that train
    around = [(0.1, 44), (0.03, 32), (0.03, 44), (0.03, 56), (0.01, 44)]
    assert sweep.boundary(alone) == [("he", lr, depth) for lr, depth in around]
    assert sweep.boundary(dict.fromkeys(trained, False)) == []


def test_one_seed_of_each_and_more_at_the_boundary(workspace, in_process, capsys):
    prepared()
    sweep.main()
    table = pd.read_csv(sweep.TABLE)
    cells = table.groupby(["start", "lr", "depth"], sort=False)
    assert list(cells.groups) == [
        (start, lr, d) for start in ("he", "trust") for lr in (TRAINS, FAILS) for d in (8, 14)
    ]
    first = table[table.seed == 0].set_index(["start", "lr", "depth"])
    assert (first.trained[first.index.get_level_values("lr") == FAILS] == "no").all()
    trained = {cell: row.trained == "yes" for cell, row in first.iterrows()}
    assert any(trained.values())
    assert {cell for cell, rows in cells if len(rows) == 2} == set(sweep.boundary(trained))
    assert (table.first_step / table.gradient_ratio / table.first_lr).round(4).eq(1.9).all()
    he, trust = (first.loc[start].gradient_ratio for start in ("he", "trust"))
    assert he.equals(trust)  # before any step there is no difference
    assert ((table.train_error <= 0.8 * 2 / 3) == (table.trained == "yes")).all()
    assert set(table.diverged) == {"no"} and set(table.scale) == {"full"} and set(table.epochs) == {3}
    assert not list(Path("runs/sweep").rglob("*.state"))
    # what is through is not trained again, and the table is the same
    whole, rows = sha256(sweep.TABLE), sorted(Path("runs/sweep").glob("plain-*/*.json"))
    assert len(rows) == len(table)
    rows[0].unlink()
    capsys.readouterr()
    sweep.main()
    said = capsys.readouterr().out
    assert sha256(sweep.TABLE) == whole and said.count(": training error") == 1
    assert "1 runs, 1 at once" in said


def test_by_force_everything_is_trained_again(workspace, in_process, monkeypatch, capsys):
    prepared(starts=("he",), depths=(8,), lrs=(TRAINS,))
    monkeypatch.setattr(sweep, "boundary", list)  # every network is at it
    assert trained_again_by_force(sweep, capsys) == 1 + 1


def test_a_run_that_diverges_is_a_row(workspace, in_process):
    prepared(starts=("he",), depths=(8,), lrs=(1e30,))
    sweep.main()
    (row,) = pd.read_csv(sweep.TABLE).to_dict("records")
    assert (row["diverged"], row["trained"]) == ("yes", "no")


@pytest.mark.slow
def test_killed_and_side_by_side_it_ends_with_the_same_bytes(workspace, run_script):
    prepared(starts=("he",), lrs=(TRAINS,), epochs=15)
    assert run_script("sweep", SEEDS_AT_ONCE="2").returncode == 0
    whole = sha256(sweep.TABLE)
    Path("runs").rename("others")
    sweep.TABLE.unlink()
    environment = os.environ | {"SEEDS_AT_ONCE": "1", "CHECKPOINT_SECONDS": "0"}
    process = subprocess.Popen([sys.executable, REPOSITORY / "src/sweep.py"], env=environment, stdout=subprocess.PIPE)
    while not list(Path("runs").glob("sweep/plain-*/*.json")) or not list(Path("runs").glob("sweep/plain-*/*.state")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not sweep.TABLE.exists()
    said = run_script("sweep", SEEDS_AT_ONCE="1")
    assert said.returncode == 0, said.stderr
    assert "1 of 2 runs are through already" in said.stdout and "resuming at epoch" in said.stdout
    assert sha256(sweep.TABLE) == whole


def test_mistakes_are_one_line(workspace, run_here):
    assert "recipes/sweep.json is missing: run `dvc repro recipes` first" in one_line(run_here("sweep"), 2)
    prepared()
    Path("data/tensors/signs/val.safetensors").unlink()
    assert "run `dvc repro preprocess@signs` first" in one_line(run_here("sweep"), 2)
