import json
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from lineage.engine.experiment import Experiment, read_experiment
from lineage.errors import Mistake

RECIPE = {"epochs": 3, "batch_size": 10, "lr": 0.1, "schedule": "onecycle", "input_size": 32}
PLAIN = {"name": "mine", "scale": "full", "dataset": "signs", "classes": 6, "model": "resnet"}
PLAIN |= {"network": {"depth": 20, "shortcut": "none"}, "recipe": RECIPE}


def written(**changes):
    path = Path("recipes/experiments/mine.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(PLAIN | changes))
    return path


def test_it_comes_back_typed_and_can_be_built(workspace):
    written()
    experiment = read_experiment("mine")
    assert (experiment.network.depth, experiment.network.stem, experiment.recipe.threads) == (20, "cifar", 1)
    assert experiment.changes() == PLAIN
    torch.manual_seed(0)
    assert experiment.build()(torch.zeros(2, 3, 32, 32)).shape == (2, 6)


def test_mistakes_are_one_line(workspace):
    with pytest.raises(Mistake, match=r"recipes/experiments/nothing\.json is missing"):
        read_experiment("nothing")
    for change, said in (
        ({"network": {"depth": 21, "shortcut": "none"}}, "depth: 21 is neither"),
        ({"recipe": RECIPE | {"lr": 0}}, "recipe.lr Input should be greater than 0"),
        ({"recipe": RECIPE | {"input_size": 4}}, "resnet needs an input of 8 pixels or more, not 4"),
        ({"model": "vit"}, "model Input should be 'alexnet'"),
        ({"colour": 1}, "colour Extra inputs"),
    ):
        written(**change)
        with pytest.raises(Mistake, match=said) as error:
            read_experiment("mine")
        assert "\n" not in str(error.value) and "dvc repro recipes" in str(error.value)


def test_inputs_grow_only_where_the_weights_allow_it():
    recipe = RECIPE | {"input_size": 64, "grow": {"32": 0.5}}
    assert Experiment(**PLAIN | {"recipe": recipe}).recipe.grow == {32: 0.5}
    vgg = {"model": "vgg", "recipe": recipe}
    Experiment(**PLAIN | vgg | {"network": {"depth": 11, "head": "mean"}})
    with pytest.raises(ValidationError, match="belong to one input size"):
        Experiment(**PLAIN | vgg | {"network": {"depth": 11, "head": "classic"}})
