import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import one_line, sha256
from torch import nn

import gradients
from lineage import anatomy, models
from lineage.engine import augment, tensors
from lineage.options.resnet import Options


def test_every_network_initialisation_and_seed(workspace, signs, monkeypatch, unchanged):
    chosen = np.linspace(0, len(signs["labels"]) - 1, 40).astype(int)
    arrays = {
        "images": np.ascontiguousarray(signs["images"][chosen].transpose(0, 3, 1, 2)),
        "labels": signs["labels"][chosen],
    }
    arrays |= {"mean": np.full(3, 0.5), "std": np.full(3, 0.3)}
    tensors.save(Path("data/tensors/signs/train.safetensors"), arrays, list("012345"))
    monkeypatch.setattr(gradients, "DEPTHS", (8, 14))
    monkeypatch.setattr(gradients, "SEEDS", 2)
    monkeypatch.setattr("sys.argv", ["gradients.py"])
    gradients.main()
    table = pd.read_csv("plots/gradients.csv")
    by_network = table.groupby(["family", "depth", "initialisation", "batch_norm", "seed"]).layer.agg(
        ["min", "max", "count"]
    )
    assert len(by_network) == 2 * 2 * 3 * 2 * 2
    depth = by_network.index.get_level_values("depth")
    assert (
        (by_network["min"] == 1).all() and (by_network["max"] == depth).all() and (by_network["count"] == depth).all()
    )
    assert table.gradient.notna().all() and (table.gradient >= 0).all()
    assert table.groupby("seed").gradient.mean().nunique() == 2
    one = table[(table.family == "plain") & (table.depth == 14) & (table.seed == 0)]
    assert one.groupby(["initialisation", "batch_norm"]).gradient.sum().nunique() == 3 * 2  # each is another network
    few = tensors.load("signs", "train", gradients.IMAGES)
    about = [torch.from_numpy(few[key]) for key in ("images", "labels", "mean", "std")]
    images = augment.Images(*about, 32, torch.device("cpu"))
    for family, shortcut in (("plain", "none"), ("resnet", "identity")):
        network = models.build("resnet", 6, 32, Options(depth=14, shortcut=shortcut))
        torch.manual_seed(0)
        begun = gradients.begun_anew(network, "he", True)
        expected = [norm for norm, _ in anatomy.gradient_norms(begun, images.plain(0, 32), images.labels).values()]
        chosen = (table.family == family) & (table.depth == 14) & (table.initialisation == "he")
        found = table[chosen & (table.batch_norm == "yes") & (table.seed == 0)].gradient
        assert found.tolist() == pytest.approx(expected, rel=1e-3)
    first = sha256("plots/gradients.csv")
    gradients.main()
    assert sha256("plots/gradients.csv") == first


def test_before_the_data(workspace, run_here):
    assert "run `dvc repro preprocess@signs` first" in one_line(run_here("gradients"), 2)


def test_it_takes_no_arguments(workspace, run_here):
    assert run_here("gradients", "plain-56").returncode == 2


def plain(depth):
    torch.manual_seed(0)
    return models.build("resnet", 6, 32, Options(depth=depth, shortcut="none"))


def batch():
    return torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 6


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("name", gradients.BEGINNINGS)
def test_how_the_weights_begin(name, batch_norm):
    network = plain(20)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.fill_(7)
    before = network.state_dict()["stages.2.1.main.3.weight"].clone()
    torch.manual_seed(1)
    begun = gradients.begun_anew(network, name, batch_norm)
    fan_in = 64 * 9
    expected = {"he": math.sqrt(2 / fan_in), "framework": math.sqrt(1 / (3 * fan_in)), "normal-0.01": 0.01}[name]
    assert begun.stages[2][1].main[3].weight.std().item() == pytest.approx(expected, rel=0.02)
    assert begun.head.bias.abs().max() == 0
    norms = [module for module in begun.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all((module.weight == 1).all() for module in norms)
    assert len(norms) == (19 if batch_norm else 0)
    assert torch.equal(network.state_dict()["stages.2.1.main.3.weight"], before)
    assert begun(batch()[0]).shape == (8, 6)


def test_deep_plain_gradients_explode_with_batch_norm_and_are_gone_without():
    """With small weights and no batch norm nothing of the picture reaches the loss, and no gradient the first layer."""
    network, (x, y) = plain(56), batch()
    begun = gradients.begun_anew(network, "he", True)
    with_norm = [norm for norm, _ in anatomy.gradient_norms(begun, x, y).values()]
    assert with_norm[0] > 100 * with_norm[-2]
    begun = gradients.begun_anew(network, "normal-0.01", False)
    assert next(iter(anatomy.gradient_norms(begun, x, y).values()))[0] == 0
