import json
from pathlib import Path
from unittest.mock import MagicMock

import pandas as pd
import pytest
import torch
from conftest import as_signs, one_line, sha256
from test_sweep import in_process, trained_again_by_force  # noqa: F401
from test_train import experiment
from torch import nn

import defects
from lineage import runs
from lineage.defective import DEFECTS
from lineage.engine import training

IN_TRAINING = [name for name, defect in DEFECTS.items() if defect.in_training]


def prepared(seeds=2, **recipe):
    """Two small networks on a data set of three greys, under the name of SIGNS, without a test set."""
    recipes = {}
    for name, network in (("residual", "resnet"), ("dropout", "vgg")):
        about = experiment(f"{name}-defects", seeds=seeds, epochs=1, lr=0.002, input_size=32, **recipe)
        options = {"resnet": {"depth": 8, "shortcut": "identity"}, "vgg": {"depth": 11}}[network]
        recipes[name] = about | {"model": network, "network": options, "dataset": "signs"}
    as_signs()
    Path("recipes/defects.json").write_text(json.dumps(recipes))


@pytest.fixture
def run(monkeypatch, in_process):  # noqa: F811
    monkeypatch.setattr("sys.argv", ["defects.py"])
    return defects.main


def test_every_defect_and_seed_beside_the_same_seed_without_it(workspace, run, capsys):
    prepared(seeds=1)
    run()
    table = pd.read_csv(defects.TABLE)
    assert list(table.groupby("defect", sort=False).groups) == list(DEFECTS)
    assert set(table.seed) == {0} and set(table.scale) == {"full"}
    for network, some in table.groupby("network"):  # one sound network for all defects of a seed
        judged = some[~some.defect.isin(IN_TRAINING)]
        assert some.correct.nunique() == 1 and judged.train_error.nunique() == 1, network
    best = table[table.defect == "best epoch chosen on the test images"]
    assert (best.reported == best.correct).all()  # of one epoch
    # what is through is not trained again, and the table is the same
    whole, rows = sha256(defects.TABLE), sorted(Path("runs/defects").rglob("seed-*.json"))
    assert len(rows) == 2 + len(IN_TRAINING)
    rows[0].unlink()
    capsys.readouterr()
    run()
    said = capsys.readouterr().out
    assert sha256(defects.TABLE) == whole and said.count(": validation error") == 1
    assert f"1 of {len(rows)} runs, 1 at once" in said


def test_by_force_everything_is_trained_again(workspace, run, capsys):
    prepared(seeds=1)
    few = json.loads(defects.RECIPES.read_text())
    defects.RECIPES.write_text(json.dumps({"residual": few["residual"]}))
    assert trained_again_by_force(defects, capsys) == 1 + len(IN_TRAINING)


def test_a_run_is_trained_with_its_defect_and_no_other(workspace, monkeypatch, unchanged):
    prepared()
    begun = []

    class Noted(training.Training):
        def __init__(self, network, train, *others, **options):
            norms = {module.eps for module in network.modules() if isinstance(module, nn.BatchNorm2d)}
            begun.append((norms, min(p.min().item() for p in network.parameters() if p.ndim == 4) >= 0, len(train)))
            super().__init__(network, train, *others, **options)

    monkeypatch.setattr(defects.training, "Training", Noted)
    (experiment, _), place = defects.read().values(), torch.device("cpu")
    for name in ["", *IN_TRAINING]:
        one = runs.Run(experiment, 0, Path("runs/defects"), "key", {"defect": name, "network": "residual"})
        defects.train(one, place, MagicMock())
    sound, positive, doubled = ({1e-5}, False, 96), ({1e-5}, True, 96), ({1e-5}, False, 96 + 2)
    assert begun == [sound, ({0.9}, False, 96), positive, doubled, ({1e-5}, False, 96 + 22)]  # of 24 tested images


def test_a_line_compares_a_seed_with_itself():
    done = {}
    for seed in range(2):
        for network in ("residual", "dropout"):
            done[network, "", seed] = {"train_error": 0.1 + seed, "reported": {"": 0.2 + seed}}
        for name, defect in DEFECTS.items():
            if defect.in_training:
                done[defect.network, name, seed] = {"train_error": 0.7 + seed, "reported": {"": 0.8 + seed}}
            else:
                done[defect.network, "", seed]["reported"][name] = 0.5 + seed
    found = defects.lines(done)
    assert [(line["defect"], line["seed"]) for line in found] == [(name, seed) for name in DEFECTS for seed in range(2)]
    for line in found:
        expected = (0.2, 0.8, 0.7) if line["defect"] in IN_TRAINING else (0.2, 0.5, 0.1)
        measured = (line["correct"], line["reported"], line["train_error"])
        assert measured == tuple(value + line["seed"] for value in expected)


def test_without_recipes_or_data_it_is_one_line(workspace, run_here):
    assert "run `dvc repro recipes` first" in one_line(run_here("defects"), 2)


@pytest.mark.slow
def test_side_by_side_the_table_is_the_same(workspace, run_script):
    prepared(seeds=1)
    tables = []
    for number in ("1", "2"):
        result = run_script("defects", SEEDS_AT_ONCE=number)
        assert result.returncode == 0, result.stderr
        tables.append(sha256(defects.TABLE))
        for path in Path("runs/defects").rglob("seed-*.json"):
            path.unlink()
    assert tables[0] == tables[1]
