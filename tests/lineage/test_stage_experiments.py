import io

import pandas as pd
import pytest
from conftest import content
from test_params import REAL, changed, read

from lineage import params, stage_experiments
from lineage.errors import Mistake
from lineage.experiments import SAMPLE, resolve


def test_the_sweep_is_every_depth_with_every_rate_from_every_start(tmp_path):
    everything = read(REAL, tmp_path)
    found = stage_experiments.sweep(everything)
    block = REAL["sweep"]
    for start, experiments in found.items():
        cells = [(one.recipe.lr, one.network.depth) for one in experiments]
        assert cells == [(lr, depth) for lr in block["lrs"] for depth in block["depths"]]
        assert {one.recipe.seeds for one in experiments} == {block["seeds"]}
        assert {one.network.shortcut for one in experiments} == {"none"} and {one.dataset for one in experiments} == {
            "signs"
        }
        named = REAL["recipes"][block["recipe"]] | {"seeds": block["seeds"]} | block["starts"][start]
        for one in experiments:
            given = one.recipe.model_dump() | one.network.model_dump()
            assert all(given[key] == value for key, value in (named | {"lr": one.recipe.lr}).items())
    names = [one.name for experiments in found.values() for one in experiments]
    assert len(set(names)) == len(names) == 36
    same = resolve(everything, "plain-110-signs32-dirac")
    (one,) = [one for one in found["dirac"] if one.network.depth == 110 and one.recipe.lr == 0.1]
    assert one.one_seed() == same.one_seed() | {"name": one.name}


def test_a_sample_of_the_sweep_and_a_rate_that_wins_over_its_own(tmp_path):
    small = stage_experiments.sweep(read(changed("scale", "sample"), tmp_path))
    assert [len(experiments) for experiments in small.values()] == [2, 2]
    assert {one.recipe.epochs for one in small["he"]} == {SAMPLE["epochs"]}
    found = stage_experiments.sweep(read(changed("train/lr", 0.5), tmp_path))
    assert [one.recipe.lr for one in found["he"]] == [0.5] * 6


def test_the_network_with_several_initialisations(tmp_path):
    found = stage_experiments.initialisations(read(REAL, tmp_path))
    assert list(found) == ["random-0.2", "random-0.4", "random-0.8", "looks-linear"]
    assert {one.network.depth for one in found.values()} == {110}
    found = stage_experiments.initialisations(read(changed("scale", "sample"), tmp_path))
    assert [(one.name, one.network.depth) for one in found.values()] == [("plain-20-looks-linear", 20)]


def test_the_networks_whose_gradients_are_equalised(tmp_path):
    found = stage_experiments.equalised(read(REAL, tmp_path))
    assert found["ratios"] == (0.03, 0.01, 0.003) and len(found["networks"]) == 7
    linear, dirac = (found["networks"][f"plain-110-{name}"] for name in ("looks-linear", "dirac"))
    assert linear["start"] == "looks-linear" and "initialisation" not in linear["network"]
    assert dirac["start"] == dirac["network"]["initialisation"] == "dirac"
    assert found["networks"]["residual-110-he"]["network"] == {"depth": 110, "shortcut": "identity"}
    found = stage_experiments.equalised(read(changed("scale", "sample"), tmp_path))
    assert found["ratios"] == (0.03,) and {one["network"]["depth"] for one in found["networks"].values()} == {20}


def test_the_networks_with_the_lengths_of_another_initialisation(tmp_path):
    found = stage_experiments.crossed(read(REAL, tmp_path))
    both = [(one["start"], one["lengths"]) for one in found.values()]
    assert both == [("he", "he"), ("he", "dirac"), ("dirac", "he"), ("dirac", "dirac")]
    assert list(found)[1] == "plain-110-he-lengths-of-dirac"
    for one in found.values():
        assert one["network"] == {"depth": 110, "shortcut": "none"} and one["recipe"]["lr"] == 0.03
    found = stage_experiments.crossed(read(changed("scale", "sample"), tmp_path))
    assert {one["network"]["depth"] for one in found.values()} == {20}
    found = stage_experiments.crossed(read(changed("train/lr", 0.5), tmp_path))
    assert {one["recipe"]["lr"] for one in found.values()} == {0.5}  # `train` wins


def test_the_networks_in_float64(tmp_path):
    found = stage_experiments.float64(read(REAL, tmp_path))
    assert {name: one.get("ratio") for name, one in found.items()} == {
        "plain-20": None,
        "plain-110": None,
        "plain-110-equalised": 0.01,
    }
    assert {one["network"]["shortcut"] for one in found.values()} == {"none"}
    wanted = changed("train/precision", "bf16")  # which would be the precision of everything else
    found |= stage_experiments.float64(read(wanted, tmp_path))
    assert {one["recipe"]["precision"] for one in found.values()} == {"fp32"}
    same = resolve(read(REAL, tmp_path), "plain-110-signs32").changes()
    same |= {"name": "plain-110", "recipe": same["recipe"] | {"precision": "fp32", "seeds": REAL["float64"]["seeds"]}}
    assert found["plain-110"] == same
    equalised = pd.read_csv(io.BytesIO(content("plots/tables/equalised.csv")))
    own = equalised[(equalised.network == "plain-110-he") & (equalised.chosen == "yes")].ratio
    assert set(own) == {found["plain-110-equalised"]["ratio"]}
    found = stage_experiments.float64(read(changed("scale", "sample"), tmp_path))
    assert {name: one["network"]["depth"] for name, one in found.items()} == {"plain-20-equalised": 20}


def test_the_network_that_is_made_deeper(tmp_path):
    found = stage_experiments.deepened(read(REAL, tmp_path))
    assert {which: one.network.depth for which, one in found.items()} == {"shallow": 20, "deep": 56}
    assert found["shallow"].recipe == found["deep"].recipe


def test_the_networks_that_defects_are_tried_on(tmp_path):
    found = stage_experiments.defects(read(REAL, tmp_path))
    assert {name: one.model for name, one in found.items()} == {"residual": "resnet", "dropout": "vgg"}
    assert found["dropout"].network.dropout == 0.5 and {one.recipe.seeds for one in found.values()} == {5}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("sweep/depths", [20, 33], r"sweep.starts.he: depth: 33 is neither"),
        ("sweep/starts", {"he": {"truts": 1}}, r"sweep.starts.he.truts: unknown key"),
        ("sweep/starts", {"he": {"dataset": "cifar10"}}, r"sweep.starts.he: dataset cannot be set here"),
        ("sweep/starts", {"he": {"lr": 0.5, "depth": 20}}, r"sweep.starts.he: depth, lr cannot be set here"),
        (
            "defects/networks/residual/dataset",
            "cifar10",
            r"defects.networks.residual: the stage is on SIGNS, and `model`",
        ),
        ("defects/networks/residual/model", "residual_vgg", r"defects.networks.residual: the stage is on SIGNS"),
        ("sweep/recipe", "wy", r"sweep.starts.he.recipe: 'wy' is unknown"),
        ("sweep/seeds", 0, r"sweep.seeds: Input should be greater"),
        ("initialisations/names", ["orthogonal"], r"params.yaml: initialisations.names.0: String should match pattern"),
        (
            "equalised/plain",
            {20: ["hee"]},
            r"params.yaml: equalised.plain.20.0: String should match pattern.*looks-linear",
        ),
        (
            "equalised",
            {"recipe": "why", "ratios": [0.1], "plain": {110: []}, "residual": {}, "seeds": 3},
            r"params.yaml: equalised: .*name no initialisation",
        ),
        ("crossed/starts", ["he"], r"params.yaml: crossed.starts: .*at least 2"),
        ("crossed/starts", ["he", "hee"], r"params.yaml: crossed.starts.1: String should match pattern"),
        ("crossed/lr", 0, r"params.yaml: crossed.lr: Input should be greater than 0"),
        ("equalised/ratios", [0], r"params.yaml: equalised.ratios.0: Input should be greater than 0"),
        ("float64/equalised", {110: 0}, r"params.yaml: float64.equalised.110: Input should be greater than 0"),
        (
            "float64",
            {"recipe": "why", "depths": [], "equalised": {}, "seeds": 3},
            r"params.yaml: float64: .*both empty",
        ),
        ("float64/depths", [21], r"params.yaml: float64: depth: 21 is neither"),
        ("deepened/deep", 50, r"params.yaml: deepened: 50 layers have other blocks or stages"),
        ("deepened/deep", 20, r"20 layers are no more than the shallow network has, 20"),
        ("defects/networks/dropout/depth", 12, r"defects.networks.dropout.depth: Input should be 11, 13, 16 or 19"),
        ("defects/networks", {"residual": {}}, r"params.yaml: defects.networks: Dictionary should have at least 2"),
    ],
)
def test_mistakes_in_the_sweep_say_where(tmp_path, key, value, said):
    with pytest.raises(Mistake, match=said):
        everything = read(changed(key, value), tmp_path)
        for stage in params.STAGES:
            getattr(stage_experiments, stage)(everything)
