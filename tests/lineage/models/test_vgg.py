import pytest
import torch
from test_models import assert_equal, build, count, learn, shapes, stirred
from torch import nn
from torchvision import models as reference


@pytest.mark.parametrize(("depth", "column"), [(11, "A"), (13, "B"), (16, "D"), (19, "E")])
def test_features_equal_torchvisions(depth, column):
    torch.manual_seed(0)
    theirs = stirred(reference.vgg.make_layers(reference.vgg.cfgs[column], batch_norm=True))
    ours = build("vgg", 64, depth=depth).features
    state = theirs.state_dict()
    biases = [name for name in state if name.endswith("bias") and name.replace("bias", "running_mean") not in state]
    for name in biases:  # torchvision's convolutions keep a bias in front of batch norm
        nn.init.zeros_(state.pop(name))
    ours.load_state_dict(state)
    assert_equal(ours, theirs, 64)


@pytest.mark.parametrize(("depth", "published"), [(16, 138_365_992), (19, 143_678_248)])
def test_parameters_with_the_classic_head(depth, published):
    with torch.device("meta"):
        ours, theirs = build("vgg", 224, 1000, depth=depth, head="classic"), getattr(reference, f"vgg{depth}_bn")()
        plain = getattr(reference, f"vgg{depth}")()
    assert count(theirs) == published
    kernels = sum(m.out_channels for m in ours.modules() if isinstance(m, nn.Conv2d))
    assert count(ours) == published - kernels  # one bias each, which batch norm has
    assert count(ours) == count(plain) + kernels  # and whose scale is a parameter more


@pytest.mark.parametrize(("depth", "groups"), [(11, (1, 1, 2, 2, 2)), (16, (2, 2, 3, 3, 3)), (19, (2, 2, 4, 4, 4))])
def test_sizes_at_32_pixels(depth, groups):
    network = build("vgg", 32, depth=depth)
    layers = [m for m in network.features if isinstance(m, nn.Conv2d | nn.MaxPool2d)]
    expected, width = [], 32
    for convolutions, channels in zip(groups, (64, 128, 256, 512, 512), strict=True):
        expected += [(channels, width, width)] * convolutions + [(channels, width // 2, width // 2)]
        width //= 2
    assert shapes(layers, 32) == expected
    assert expected[-1] == (512, 1, 1)


@pytest.mark.parametrize("size", [224, 227])
def test_the_classic_head_is_25088_4096_4096_classes(size):
    with torch.device("meta"):
        head = build("vgg", size, 100, depth=16, head="classic").head
    layers = [(m.in_features, m.out_features) for m in head if isinstance(m, nn.Linear)]
    assert layers == [(25088, 4096), (4096, 4096), (4096, 100)]


@pytest.mark.parametrize(
    ("depth", "head"),
    [*((depth, "mean") for depth in (11, 13, 16, 19)), pytest.param(16, "classic", marks=pytest.mark.slow)],
)
def test_it_learns(signs, depth, head):
    network = build("vgg", 32, 6, depth=depth, head=head, dropout=0)
    assert learn(network, signs, 32, lr=3e-4)[1] < 0.05
