import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import one_line, sha256
from test_train import experiment

import agreement
from lineage.engine import tensors

pytestmark = pytest.mark.xdist_group("agreement")  # deep networks are measured once


@pytest.fixture(scope="module")
def batches(signs):
    """Four batches of 12 photographs of hands, 32 pixels wide, all classes in each."""
    images = torch.from_numpy(signs["images"]).permute(0, 3, 1, 2).float()
    images = torch.nn.functional.avg_pool2d(images, 2) / 255
    images, labels = (images - images.mean()) / images.std(), torch.from_numpy(signs["labels"])
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:48]
    return [(images[few], labels[few].long()) for few in order.chunk(4)]


def network(depth, initialisation="he", family="plain", normalisation="batch", seed=0):
    about = {"family": family, "depth": depth, "normalisation": normalisation, "initialisation": initialisation}
    return agreement.build(about, 6, 32, seed)


@pytest.fixture(scope="module")
def deep(batches):
    """What is measured of a network of 44 layers with two batches, each network once."""
    return cache(lambda start, family="plain": agreement.measure(network(44, start, family), batches[:2]))


def test_images_agree_in_residual_networks_and_after_dirac_but_not_in_deep_plain_ones(deep):
    """The finding in small: 44 layers instead of 110, two batches of 12."""
    found = {start: deep(start) for start in ("he", "dirac", "looks-linear")} | {"residual": deep("he", "resnet")}
    assert abs(found["he"]["agreement"]) < 0.05
    assert all(found[name]["agreement"] > 0.1 for name in ("dirac", "looks-linear", "residual"))
    assert found["he"]["neighbour_error"] > 0.7 > found["looks-linear"]["neighbour_error"]
    assert found["he"]["gradient_ratio"] > 10 * found["dirac"]["gradient_ratio"]


def test_agreement_without_labels_is_what_the_labels_do_not_explain(batches):
    """A residual network's gradients agree even if the labels are wrong; after Dirac far less."""
    residual, plain = (agreement.measure(one, batches) for one in (network(20, family="resnet"), network(20, "dirac")))
    assert residual["shuffled_agreement"] > 0.5 * residual["agreement"] > 0
    assert plain["shuffled_agreement"] < 0.5 * plain["agreement"]


def test_rounding_changes_the_gradients_of_a_deep_plain_network(deep):
    """In bfloat16 little is left of them with 44 layers and He's initialisation, most with the Dirac one."""
    he, dirac = deep("he"), deep("dirac")
    assert dirac["fp32_cosine"] == pytest.approx(1, abs=1e-3)
    assert 0.5 < he["fp32_cosine"] < 1
    if math.isnan(he["bf16_cosine"]):
        pytest.skip("no hardware for bfloat16")
    assert he["bf16_cosine"] < 0.5 < dirac["bf16_cosine"]


def test_in_float64_the_order_of_the_images_changes_nothing(batches, deep):
    """With 44 layers and He's initialisation it changes the gradient in float32, whose rounding it changes."""
    assert 0.999999 < deep("he")["reordered_cosine"] <= 1
    images, labels = batches[0]
    single = [agreement.directions(network(44), x, y) for x, y in ((images, labels), (images.flip(0), labels.flip(0)))]
    assert agreement.cosines(*single).min() < 0.9999
    other = [agreement.directions(network(44).double(), x.double(), y) for x, y in batches[:2]]
    assert agreement.cosines(*other).min() < 0.5  # other images


def test_a_precision_that_the_device_lacks_is_not_measured(batches, monkeypatch):
    monkeypatch.setattr(agreement.device, "precision_on", lambda _, wanted: "fp32")
    found = agreement.measure(network(8), batches)
    assert math.isnan(found["bf16_cosine"]) and found["fp32_cosine"] == pytest.approx(1, abs=1e-4)


def test_agreement_is_that_of_the_exact_gradients(batches):
    one = network(8)
    found = agreement.measure(one, batches)
    exact = [agreement.directions(one.double(), x.double(), y) for x, y in batches]
    assert found["agreement"] == agreement.median_agreement(exact)


def test_the_median_over_the_convolutions_and_the_lowest_after_reordering(batches, monkeypatch):
    same, apart = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    layers = {"a": same, "b": apart, "c": apart}
    gradients = [{name: two[k] for name, two in layers.items()} for k in range(2)]
    assert agreement.median_agreement(gradients) == 0
    monkeypatch.setattr(agreement, "cosines", lambda *_: torch.tensor([0.0, 0.25, 1.0]))
    found = agreement.measure(network(8), batches[:2])
    assert (found["fp32_cosine"], found["reordered_cosine"]) == (0.25, 0)


def test_the_mean_cosine_over_all_pairs():
    directions = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    assert agreement.mean_cosine(directions) == pytest.approx(-1 / 3)
    assert agreement.mean_cosine(directions[:1].repeat(5, 1)) == pytest.approx(1)


def test_the_nearest_other_row():
    features, labels = torch.tensor([[0.0], [1.0], [10.0], [11.0], [11.5]]), torch.tensor([0, 0, 1, 1, 0])
    assert agreement.neighbour_error(features, labels) == pytest.approx(2 / 5)


def test_what_is_measured():
    found = list(agreement.networks(56, ["random-0.2"]))
    assert {"family": "plain", "depth": 44, "normalisation": "batch", "initialisation": "dirac"} in found
    assert {"family": "plain", "depth": 56, "normalisation": "none", "initialisation": "he"} in found
    assert found[-1] == {"family": "resnet", "depth": 56, "normalisation": "batch", "initialisation": "he"}
    assert [one["depth"] for one in found if one["initialisation"] == "random-0.2"] == [56]
    assert max(one["depth"] for one in found) == 56 and len(found) == 4 + 4 + 1 + 1 + 2


def test_a_line_per_network_and_seed(workspace, signs, monkeypatch, unchanged):
    chosen = np.linspace(0, len(signs["labels"]) - 1, 48).astype(int)
    arrays = {"images": np.ascontiguousarray(signs["images"][chosen].transpose(0, 3, 1, 2))}
    arrays |= {"labels": signs["labels"][chosen], "mean": np.full(3, 0.5), "std": np.full(3, 0.3)}
    tensors.save(Path("data/tensors/signs/train.safetensors"), arrays, list("012345"))
    about = experiment("plain-8-looks-linear") | {"dataset": "signs", "classes": 6}
    about |= {"network": {"depth": 8, "shortcut": "none"}}
    Path("recipes/initialisations.json").write_text(json.dumps({"looks-linear": about}))
    monkeypatch.setattr(agreement, "PLAIN", (8,))
    monkeypatch.setattr(agreement, "RESIDUAL", (8,))
    monkeypatch.setattr("sys.argv", ["agreement.py"])
    agreement.main()
    table = pd.read_csv(agreement.TABLE)
    pixels, table = table.iloc[-1], table.iloc[:-1]
    assert pixels.family == "pixels" and 0 < pixels.neighbour_error < 0.75
    assert (table.shuffled_agreement != table.agreement).all()
    assert table.initialisation.tolist() == [name for name in ("he", "dirac", "he", "looks-linear", "he") for _ in "01"]
    assert table.seed.tolist() == [0, 1] * 5 and set(table.scale) == {"full"}
    assert table.agreement.between(-1, 1).all() and table.agreement.nunique() == 10
    assert (table.gradient_ratio > 0).all() and table.neighbour_error.between(0, 1).all()
    first = sha256(agreement.TABLE)
    agreement.main()
    assert sha256(agreement.TABLE) == first
    seen = []
    monkeypatch.setattr(agreement, "SAMPLE_BATCH", 2)
    monkeypatch.setattr(
        agreement, "measure", lambda _, some: seen.append([len(y) for _, y in some]) or {"neighbour_error": 0}
    )
    for scale, each in (("full", 6), ("sample", 2)):
        Path("recipes/initialisations.json").write_text(json.dumps({"looks-linear": about | {"scale": scale}}))
        agreement.main()
        assert seen == [[each] * 8] * 10
        seen.clear()


def test_mistakes_are_one_line(workspace, run_here):
    assert "recipes/initialisations.json is missing: run `dvc repro recipes` first" in one_line(
        run_here("agreement"), 2
    )
