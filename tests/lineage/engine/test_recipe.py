import pytest
from pydantic import ValidationError

from lineage.engine.recipe import Recipe

BASE = {"epochs": 3, "batch_size": 10, "lr": 0.1, "schedule": "onecycle", "input_size": 32}


def test_steps():
    assert Recipe(**BASE).steps(105) == (30, 10)
    assert Recipe(**BASE).steps(5) == (3, 1)
    assert Recipe(**{**BASE, "epochs": None, "iterations": 64}).steps(105) == (64, 10)


IMPOSSIBLE = [{"epochs": None}, {"iterations": 5}, {"lr": 0}, {"cutmix": 1.1}, {"zoom": 1.0}, {"seeds": 0}, {"cut": 1}]


MUON = [
    {"optimiser": "muon"},
    {"muon_step": 0.1},
    {"optimiser": "adam", "muon_step": 0.1},
    {"optimiser": "muon", "muon_step": 0.1, "trust": 0.02},
]


@pytest.mark.parametrize("change", [*IMPOSSIBLE, {"warm_up": 0.1, "warm_up_steps": 5}, {"grow": {32: 0.5}}, *MUON])
def test_what_cannot_be_is_refused(change):
    with pytest.raises(ValidationError):
        Recipe(**BASE | change)


def test_the_warm_up_in_shares_or_in_steps():
    assert Recipe(**BASE, warm_up=0.25).warm_up_of(450) == 112
    assert [Recipe(**BASE, warm_up_steps=112).warm_up_of(steps) for steps in (450, 1500)] == [112, 112]
    assert Recipe(**BASE).warm_up_of(450) == 0


def test_the_input_grows_up_to_its_size():
    recipe = Recipe(**BASE | {"input_size": 64}, grow={"32": 0.4, "48": 0.3})
    assert [recipe.size_in(epoch, 10) for epoch in range(1, 11)] == [32] * 4 + [48] * 3 + [64] * 3
    assert recipe.size_in(1, 1) == 64  # the final size has the last epoch
    assert {Recipe(**BASE).size_in(epoch, 3) for epoch in (1, 2, 3)} == {32}


def test_cutmix_ends_before_the_final_epochs():
    recipe = Recipe(**BASE, cutmix=0.5, cutmix_off=0.2)
    assert [recipe.mixes_in(epoch, 10) for epoch in (1, 8, 9, 10)] == [0.5, 0.5, 0, 0]
