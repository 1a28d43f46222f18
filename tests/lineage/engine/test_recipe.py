import pytest
from pydantic import ValidationError

from lineage.engine.recipe import Recipe, fingerprint, read_experiment
from lineage.errors import Mistake

BASE = {"epochs": 3, "batch_size": 10, "lr": 0.1, "schedule": "onecycle", "input_size": 32}


def test_steps():
    assert Recipe(**BASE).steps(105) == (30, 10)
    assert Recipe(**BASE).steps(5) == (3, 1)
    assert Recipe(**{**BASE, "epochs": None, "iterations": 64}).steps(105) == (64, 10)


@pytest.mark.parametrize(
    "change", [{"epochs": None}, {"iterations": 5}, {"lr": 0}, {"momentum": 1}, {"zoom": 1.0}, {"seeds": 0}, {"cut": 1}]
)
def test_what_cannot_be_is_refused(change):
    with pytest.raises(ValidationError):
        Recipe(**BASE | change)


def test_a_fingerprint_tells_recipes_apart():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_an_unknown_experiment(workspace):
    with pytest.raises(Mistake, match=r"recipes/experiments/nothing\.json is missing"):
        read_experiment("nothing")
