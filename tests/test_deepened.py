import json
import math
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import as_signs, one_line, sha256
from test_sweep import least, trained_again_by_force
from test_train import experiment
from torch.nn import functional as F

import deepened
from lineage import identity, runs
from lineage.engine import augment, checkpoint


def write(recipes, **recipe):
    """The recipes with these changes to both."""
    for one in recipes.values():
        one["recipe"] |= recipe
    deepened.RECIPES.write_text(json.dumps(recipes))


@pytest.fixture
def prepared(workspace, monkeypatch, unchanged):
    """The recipes of 8 and 14 layers on a data set of three greys, under the name of SIGNS, without a test set."""
    recipes = {}
    for which, depth in (("shallow", 8), ("deep", 14)):
        about = experiment(f"plain-{depth}-{which}") | {"dataset": "signs"}
        recipes[which] = about | {"network": {"depth": depth, "shortcut": "none"}}
    as_signs()
    write(recipes)
    monkeypatch.setattr("sys.argv", ["deepened.py"])
    monkeypatch.setenv("SEEDS_AT_ONCE", "1")
    return recipes


def test_before_and_after_the_insertion_and_after_training_on(prepared, capsys):
    deepened.main()
    table = pd.read_csv(deepened.TABLE, keep_default_na=False, na_values=[]).set_index(
        ["seed", "depth", "insertion", "state"]
    )
    ways = [(8, "", "trained"), (8, "", "trained on")]
    ways += [(14, how, state) for how in ("training", "use") for state in ("inserted", "trained on")]
    assert table.index.tolist() == [(seed, *way) for seed in range(2) for way in ways]
    for seed in range(2):
        before = table.loc[seed, 8, "", "trained"]
        for how in ("training", "use"):
            inserted, after = (table.loc[seed, 14, how, state] for state in ("inserted", "trained on"))
            for part in ("train", "val"):
                assert inserted[f"{part}_error"] == before[f"{part}_error"]
                assert float(inserted[f"{part}_loss"]) == pytest.approx(float(before[f"{part}_loss"]), rel=1e-3)
            assert after.train_loss != inserted.train_loss
            assert inserted.highest_val_error == "" and float(after.highest_val_error) >= float(after.val_error)
        losses = [float(table.loc[seed, 14, how, "inserted"].batch_loss) for how in ("training", "use")]
        assert losses[0] == pytest.approx(float(before.batch_loss), rel=0.05) != pytest.approx(losses[1], rel=0.05)
    # trained on from what was trained, and in another order
    assert table.loc[0, 8, "", "trained on"].train_loss != table.loc[0, 8, "", "trained"].train_loss
    whole = sha256(deepened.TABLE)
    next(Path("runs/deepened/plain-14-deep-use").glob("*.json")).unlink()
    next(Path("runs/deepened/plain-14-deep-use").glob("*.state")).unlink()
    capsys.readouterr()
    deepened.main()
    assert capsys.readouterr().out.count(": training error") == 1
    assert sha256(deepened.TABLE) == whole


def test_the_loss_as_in_training(prepared):
    """With the batch's own statistics in batch norm; the mean over two batches of 48 images."""
    one, cpu = deepened.Experiment.model_validate(prepared["shallow"]), torch.device("cpu")
    images = augment.load(one, ("train",), cpu)["train"]
    x, network = images.plain(0, 96), runs.untrained(one, 0, cpu).train()
    with torch.no_grad():
        losses = [F.cross_entropy(network(x[half::2]), images.labels[half::2]).item() for half in (0, 1)]
    found = deepened.batch_loss(runs.untrained(one, 0, cpu), one, cpu)
    assert found == pytest.approx(sum(losses) / 2, rel=1e-4)


def test_the_highest_error_on_the_way(monkeypatch):
    history = [{"val_error": error} for error in (0.2, 0.6, 0.4)]
    monkeypatch.setattr(deepened.runs, "trained", lambda *_: (None, {"history": history, "diverged": False}))
    monkeypatch.setattr(deepened, "line", lambda *_: {"highest_val_error": math.nan})
    one = runs.Run(None, 0, Path("runs"), "", {})
    row = deepened.measure(deepened.TRAINED_ON, torch.device("cpu"), one)
    assert row == {"highest_val_error": 0.6, "diverged": "no"}
    assert math.isnan(deepened.measure("trained", torch.device("cpu"), one)["highest_val_error"])


def test_what_is_trained_on_begins_as_the_trained_network_of_its_seed(prepared, monkeypatch):
    """The shallow one with its very weights; the deep ones say what it says."""
    deepened.RECIPES.write_text(json.dumps(least(prepared)))
    begun, ways = {}, ("", *deepened.INSERTIONS)

    def noted(network, target):
        begun[target.about["seed"], target.about["insertion"]] = network
        if len(begun) == 2 * len(ways):
            raise KeyboardInterrupt

    monkeypatch.setattr(runs, "begin_with", noted)
    with pytest.raises(KeyboardInterrupt):
        deepened.main()
    images = augment.load(deepened.read()["shallow"], ("train",), torch.device("cpu"))["train"].plain(0, 16)
    for seed in range(2):
        control, *deeper = (begun[seed, how] for how in ways)
        (path,) = Path("runs/deepened/plain-8-shallow").glob(f"seed-{seed}-*.state")
        trained, found = checkpoint.load_state(path)[0], control.state_dict()
        assert trained.keys() == found.keys() and all(torch.equal(trained[name], found[name]) for name in found)
        for network in deeper:
            assert len(network.stages[0]) > len(control.stages[0])
            assert identity.difference(control, network, images) <= identity.CLOSE


def test_another_shallow_network_is_another_solution(prepared, capsys):
    """What the deep network begins with depends on it, though its own recipe does not."""
    write(prepared, seeds=1, epochs=1)
    deepened.main()
    prepared["shallow"]["recipe"]["lr"] = 0.01
    write(prepared)
    capsys.readouterr()
    deepened.main()
    assert capsys.readouterr().out.count(": training error") == 1 + 3


@pytest.mark.slow
def test_with_another_number_of_seeds_none_goes_on_from_another_shallow_network(prepared):
    def table(seeds):
        write(prepared, seeds=seeds, epochs=1)
        deepened.main()
        return deepened.TABLE.read_bytes()

    table(2)
    more = table(3)
    shutil.rmtree("runs")
    assert table(3) == more


def test_by_force_everything_is_trained_again(prepared, capsys):
    """Not even the weights that are kept beside the rows are used again."""
    write(prepared, seeds=1)
    assert trained_again_by_force(deepened, capsys) == 1 + 3


def test_an_insertion_that_changes_what_the_network_says_is_refused(prepared, monkeypatch):
    monkeypatch.setattr(identity, "insert_identities", lambda *_: 6)
    with pytest.raises(deepened.Failure, match="seed 2 of plain-14-deep-training: the inserted layers change"):
        deepened.main()
    assert not deepened.TABLE.exists()


def test_mistakes_are_one_line(workspace, run_here):
    assert "recipes/deepened.json is missing: run `dvc repro recipes` first" in one_line(run_here("deepened"), 2)
