import copy

import pytest
import torch
from torch import nn

from lineage import models
from lineage.anatomy import re_estimated
from lineage.lesions import blocks, lesions
from lineage.options import options_of

LABELS = torch.arange(20) % 6


class Zero(nn.Module):
    def forward(self, x):
        return 0


def begun(model="resnet", **options):
    """A network whose batch norms have seen something."""
    torch.manual_seed(0)
    network = models.build(model, 6, 32, options_of(model)(**options)).train()
    with torch.no_grad():
        network(torch.randn(30, 3, 32, 32) * 2)
    return network.eval()


def images(n=20):
    return torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(n))


@torch.no_grad()
def by_hand(network, name, replacement, training):
    """Logits with the block's main path replaced in a copy of the whole network."""
    network = copy.deepcopy(network)
    if name != "intact":
        network.get_submodule(name).main = replacement
    return {"kept": network.eval()(images()), "re-estimated": re_estimated(network, training)(images())}


def correlation(a, b):
    a, b = (z - z.mean(0) for z in (a, b))
    return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].item()


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("resnet", {"depth": 14, "shortcut": "identity"}),
        ("resnet", {"depth": 8, "shortcut": "projection", "stem": "imagenet"}),
        ("resnet", {"depth": 14, "shortcut": "none"}),
        ("residual_vgg", {"shortcut": "identity"}),
    ],
)
def test_a_block_less_is_the_whole_network_with_that_block_replaced(model, options):
    network, training = begun(model, **options), list(images(24).split(12))
    before = copy.deepcopy(network.state_dict())
    rows = lesions(network, images(), LABELS, training, "fp32", blocks(network))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    plain = options["shortcut"] == "none"
    names = list(dict.fromkeys(row["block"] for row in rows))
    # where a plain network halves its maps, nothing can take a block's place
    removable = [name for name in blocks(network) if not (plain and name in ("stages.1.0", "stages.2.0"))]
    assert names == ["intact", *removable]
    intact = by_hand(network, "intact", None, training)
    for row in rows:
        logits = by_hand(network, row["block"], nn.Identity() if plain else Zero(), training)[row["statistics"]]
        assert row["val_error"] == pytest.approx((logits.argmax(1) != LABELS).double().mean().item())
        assert row["correlation"] == pytest.approx(correlation(logits, intact[row["statistics"]]), abs=1e-4)
    assert [row["statistics"] for row in rows] == ["kept", "re-estimated"] * len(names)
    assert max(row["correlation"] for row in rows[2:]) < 0.999


def test_nothing_is_re_estimated_without_batch_norm_and_only_what_is_chosen_is_removed():
    network = begun(depth=14, shortcut="identity", normalisation="none")
    rows = lesions(network, images(), LABELS, [images(8)], "fp32", ["stages.0.1"])
    assert [(row["block"], row["statistics"]) for row in rows] == [("intact", "kept"), ("stages.0.1", "kept")]


def test_networks_without_blocks_have_none():
    assert blocks(begun("vgg", depth=11)) == []
    other = begun("vgg", depth=11)
    other.main = nn.Identity()  # without a shortcut beside it
    assert blocks(other) == []
    assert blocks(begun("residual_vgg", shortcut="none")) == [f"features.{i}" for i in range(5)]
