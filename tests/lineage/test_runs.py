import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REPOSITORY, as_signs
from test_seed import Told
from test_train import experiment

from lineage import row_measures, runs
from lineage.engine import checkpoint, tensors
from lineage.engine.experiment import Experiment
from lineage.errors import Failure, Mistake
from lineage.seed import train_seed

CPU = torch.device("cpu")


def mine(**changes):
    return Experiment.model_validate(experiment(**changes))


def test_a_run_begins_with_the_weights_that_it_is_given(workspace, unchanged):
    one = mine(epochs=1, lr=1e-20)
    run = runs.Run(one, 4, Path("runs/given"), "key")
    given = runs.untrained(one, 0, CPU)
    runs.begin_with(given, run)
    runs.begin_with(runs.untrained(one, 1, CPU), run)  # too late
    train_seed(one, CPU, {4: run.state}, 0, 4, runs._Told(run, Told()))
    network, about = runs.trained(run, CPU)
    assert torch.equal(network.head.weight, given.head.weight) and about["kept"]["epoch"] == 1
    assert not torch.equal(network.head.weight, runs.untrained(one, 4, CPU).head.weight)


def test_the_average_of_the_weights_begins_with_the_given_ones_too(workspace, unchanged):
    one = mine(epochs=1, lr=1e-20, ema=0.9)
    run = runs.Run(one, 4, Path("runs/given"), "key")
    given = runs.untrained(one, 0, CPU)
    runs.begin_with(given, run)
    train_seed(one, CPU, {4: run.state}, 0, 4, runs._Told(run, Told()))
    network, _ = runs.trained(run, CPU)
    assert torch.equal(network.head.weight, given.head.weight)


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_given_weights_that_are_damaged_are_given_again_or_it_is_said(workspace, unchanged, capsys):
    """Not replaced by those of the run's own seed."""
    one = mine(epochs=1)
    run = runs.Run(one, 4, Path("runs/given"), "key", given=True)
    given = runs.untrained(one, 0, CPU)
    runs.begin_with(given, run)
    whole = run.state.read_bytes()
    damage(run.state)
    runs.begin_with(given, run)
    assert run.state.read_bytes() == whole
    assert "is damaged: set aside" in capsys.readouterr().out
    run.state.unlink()
    with pytest.raises(Failure, match="the weights that seed 4 of given begins with are lost: the same command makes"):
        runs._carry_out(None, CPU, 30, False, run, Told())


def test_a_trained_run_that_is_lost_is_trained_again(workspace, unchanged):
    run = runs.Run(mine(epochs=1), 0, Path("runs/lost"), "key")
    checkpoint.save_state(run.state, runs.untrained(run.experiment, 0, CPU).state_dict(), {"kept": {}})
    run.row.write_text('{"train_error": 0.5}')
    assert runs.through(run)
    damage(run.state)
    with pytest.raises(Failure, match=r"^seed 0 of lost is lost: the same command trains it again$"):
        runs.trained(run, CPU)
    assert not runs.through(run)


@pytest.mark.parametrize("content", ["", "{", "{}"])
def test_a_row_that_cannot_be_read_is_made_again(workspace, content):
    run = runs.Run(mine(), 0, Path("runs/a"), "key")
    assert not runs.through(run)
    run.row.parent.mkdir(parents=True)
    run.row.write_text(content)
    assert not runs.through(run)


def test_recipes_of_another_version_are_a_mistake(workspace):
    def parse(content):
        return [Experiment.model_validate(one) for one in content["several"]]

    path = Path("recipes/some.json")
    path.parent.mkdir()
    with pytest.raises(Mistake, match=r"^recipes/some.json is missing: run `dvc repro recipes` first$"):
        runs.read_recipes(path, parse)
    one = mine()
    for content in ({}, [], {"several": 3}, {"several": [one.changes() | {"network": {"deep": 3}}]}):
        path.write_text(json.dumps(content))
        with pytest.raises(Mistake, match=r"^recipes/some.json is of another version: run `dvc repro recipes` again$"):
            runs.read_recipes(path, parse)
    path.write_text(json.dumps({"several": [one.changes()]}))
    assert runs.read_recipes(path, parse) == [one]


def test_what_a_run_says_names_it(workspace):
    told = Told()
    run = runs.Run(mine(), 2, Path("runs/sweep/plain-8-he-0.1"), "key")
    said = runs._Told(run, told)
    said.say("seed 2 diverged: the loss is not finite")
    said.step(2)
    said.show(2, 1, 100.0, 0.1, 0.5, 0.5, 0.5)
    assert told.calls == [
        ("say", ("seed 2 of plain-8-he-0.1 diverged: the loss is not finite",)),
        ("step", ("2 of plain-8-he-0.1",)),
    ]


def test_a_row_is_kept_as_long_as_nothing_changes_that_decides_it(workspace, monkeypatch):
    experiment()
    with pytest.raises(Mistake, match="run `dvc repro preprocess@signs` first"):
        runs.code_and_data("sweep")
    Path("data/tensors/grey").rename("data/tensors/signs")
    known = runs.code_and_data("sweep")
    assert known == runs.code_and_data("sweep") != runs.code_and_data("deepened")
    key = runs.key(mine(), CPU, known)
    assert runs.key(mine(seeds=7), CPU, known) == key != runs.key(mine(lr=0.2), CPU, known)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "0")
        assert runs.key(mine(), CPU, known) != key
    arrays = tensors.load("signs", "val")
    tensors.save(Path("data/tensors/signs/val.safetensors"), arrays | {"labels": np.roll(arrays["labels"], 1)}, "abc")
    assert runs.code_and_data("sweep") != known


def test_a_row_is_made_again_after_a_change_of_the_code_that_dvc_yaml_lists(workspace, monkeypatch):
    """A file that it names, or one in a folder that it names."""
    experiment()
    as_signs()
    shutil.copytree(REPOSITORY / "src", "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "dvc.yaml", "dvc.yaml")
    monkeypatch.setattr(checkpoint, "SOURCE", workspace / "src")
    listed = ("sweep.py", "lineage/models/resnet.py", "lineage/engine/step.py")
    for path in (*listed, "lineage/models/vgg.py", "deepened.py"):
        known = runs.code_and_data("sweep")
        with Path("src", path).open("a") as file:
            file.write("# another word\n")
        assert (runs.code_and_data("sweep") != known) == (path in listed), path


def test_a_trained_run_that_was_killed_before_its_row_is_only_measured(workspace, unchanged, monkeypatch):
    one = mine(epochs=1)
    run, told = runs.Run(one, 0, Path("runs/given"), "key"), Told()
    weights = runs.untrained(one, 0, CPU).state_dict()
    checkpoint.save_state(run.state, weights, {"kept": {}, "history": [], "diverged": False})
    monkeypatch.setattr(runs, "train_seed", None)

    def killed(one):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs._carry_out(killed, CPU, 30, False, run, told)
    told.calls.clear()
    for keep in (True, False):
        run.row.unlink(missing_ok=True)
        runs._carry_out(
            lambda one: row_measures.scores(runs.trained(one, CPU)[0], one.experiment, CPU), CPU, 30, keep, run, told
        )
        assert run.row.is_file() and [name for name, _ in told.calls] == ["skip", "say"]
        assert run.state.exists() == keep  # until the row is there it stays
        told.calls.clear()


def test_memory_is_that_of_the_deepest_network_and_seeds_are_all_runs_that_wait(workspace, monkeypatch):
    shallow, asked = mine(), []
    deep = shallow.model_copy(update={"network": shallow.network.model_copy(update={"depth": 14})})
    monkeypatch.setattr(runs, "seeds_at_once", lambda one, _: asked.append((one.network.depth, one.recipe.seeds)) or 1)

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "side_by_side", stopped)
    many = [runs.Run(one, seed, Path("runs/some"), "key") for seed, one in enumerate((shallow, deep, shallow))]
    with pytest.raises(KeyboardInterrupt):
        runs.carry_out("some", many, None, CPU)
    assert asked == [(14, 3)]
