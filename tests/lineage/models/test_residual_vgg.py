import pytest
import torch
from test_models import build, count, learn, shapes
from torch import nn
from torch.nn import functional as F

CONVOLVED = ["projection", "always-convolved"]
SHORTCUTS = ["none", "identity", *CONVOLVED]
CHANNELS = [(3, 64), (64, 128), (128, 256), (256, 512), (512, 512)]


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_sizes_of_the_residual_vgg(shortcut):
    network = build("residual_vgg", 32, shortcut=shortcut)
    assert shapes(network.features, 32) == [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2), (512, 1, 1)]
    layers = [(m.in_features, m.out_features) for m in network.head if isinstance(m, nn.Linear)]
    assert layers == [(512, 1024), (1024, 1024), (1024, 10)]
    assert build("residual_vgg", 64, shortcut=shortcut).head[1].in_features == 512 * 2 * 2


@pytest.mark.parametrize(
    ("shortcut", "more"),
    [
        ("identity", 0),
        ("projection", sum(i * o + 2 * o for i, o in CHANNELS if i != o)),
        ("always-convolved", sum(9 * i * o + 2 * o for i, o in CHANNELS)),
    ],
)
def test_what_a_shortcut_adds_to_the_plain_twin(shortcut, more):
    plain, residual = build("residual_vgg", 32, shortcut="none"), build("residual_vgg", 32, shortcut=shortcut)
    assert count(residual) == count(plain) + more
    shared = {name: p.shape for name, p in residual.named_parameters() if ".shortcut." not in name}
    assert shared == {name: p.shape for name, p in plain.named_parameters()}


def without_main_paths(shortcut):
    network = build("residual_vgg", 32, shortcut=shortcut).eval()
    for block in network.features:
        nn.init.zeros_(block.main[1][1].weight)  # of the last batch norm: relu(0) stays 0
    return network.features


def test_without_main_paths_the_identity_is_a_pooled_image():
    x = torch.randn(2, 3, 64, 64)
    features = without_main_paths("identity")(x)
    assert torch.equal(features[:, :3], F.max_pool2d(x, 32))
    assert not features[:, 3:].any()
    assert not without_main_paths("none")(x).any()


@pytest.mark.parametrize("shortcut", CONVOLVED)
def test_without_main_paths_the_convolved_shortcuts_are_left(shortcut):
    features = without_main_paths(shortcut)
    x = expected = torch.randn(2, 3, 64, 64)
    for block, (channels_in, channels) in zip(features, CHANNELS, strict=True):
        if shortcut == "always-convolved" or channels_in != channels:
            weight = next(block.shortcut.parameters())
            expected = F.conv2d(expected, weight, padding=weight.shape[2] // 2) / (1 + 1e-5) ** 0.5
        expected = F.max_pool2d(expected.relu() if shortcut == "always-convolved" else expected, 2)
    assert expected.abs().max() > 0.01
    assert torch.allclose(features(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "shortcut", ["none", "identity", *(pytest.param(one, marks=pytest.mark.slow) for one in CONVOLVED)]
)
def test_it_learns(signs, shortcut):
    network = build("residual_vgg", 32, 6, shortcut=shortcut, dropout=0)
    assert learn(network, signs, 32, lr=3e-4)[1] < 0.05
