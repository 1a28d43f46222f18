import pytest
import torch
from pydantic import ValidationError
from test_models import assert_equal, build, count, learn, shapes, stirred, transfer
from torch import nn
from torch.nn import functional as F
from torchvision import models as reference

from lineage import identity


@pytest.mark.parametrize(("depth", "parameters"), [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032)])
def test_resnets_equal_torchvisions(depth, parameters):
    torch.manual_seed(0)
    theirs = stirred(getattr(reference, f"resnet{depth}")())
    ours = build("resnet", 224, 1000, depth=depth, shortcut="projection", stem="imagenet")
    assert count(ours) == count(theirs) == parameters
    transfer(theirs, ours)
    assert_equal(ours, theirs, 96)


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.73)])
def test_parameters_of_table_6(depth, millions):
    assert round(count(build("resnet", 32, depth=depth, shortcut="identity")) / 1e6, 2) == millions


def test_sizes_of_resnet_34_at_64_pixels():
    network = build("resnet", 64, 6, depth=34, shortcut="projection", stem="imagenet")
    assert [len(stage) for stage in network.stages] == [3, 4, 6, 3]
    expected = [(64, 32, 32), (64, 16, 16), (64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2)]
    assert shapes([network.stem[:3], network.stem[3], *network.stages], 64) == expected
    assert (network.head.in_features, network.head.out_features) == (512, 6)


def test_sizes_of_section_4_2_at_32_pixels():
    network = build("resnet", 32, depth=20, shortcut="identity")
    assert shapes([network.stem, *network.stages], 32) == [(16, 32, 32), (16, 32, 32), (32, 16, 16), (64, 8, 8)]


def test_every_depth_exists_or_is_a_clear_error():
    with torch.device("meta"):
        for depth in range(1, 120):
            if depth in (18, 34) or depth in range(8, 120, 6):
                network = build("resnet", 32, depth=depth, shortcut="identity")
                assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in network.modules()) == depth
            else:
                with pytest.raises(ValidationError, match=rf"{depth} is neither 18, 34.* 50 nor of the form 6n\+2"):
                    build("resnet", 32, depth=depth, shortcut="identity")


@pytest.mark.parametrize(
    ("depth", "changes"),
    [
        (20, [(16, 32), (32, 64)]),
        (56, [(16, 32), (32, 64)]),
        (18, [(64, 128), (128, 256), (256, 512)]),
        (34, [(64, 128), (128, 256), (256, 512)]),
        (50, [(64, 256), (256, 512), (512, 1024), (1024, 2048)]),
    ],
)
def test_what_a_shortcut_adds_to_the_plain_network(depth, changes):
    with torch.device("meta"):
        plain, identity, projection = (
            build("resnet", 32, depth=depth, shortcut=s) for s in ("none", "identity", "projection")
        )
    assert count(identity) == count(plain)
    assert count(projection) == count(plain) + sum(i * o + 2 * o for i, o in changes)
    shared = {name: p.shape for name, p in projection.named_parameters() if ".shortcut." not in name}
    assert shared == {name: p.shape for name, p in plain.named_parameters()}


def without_main_paths(shortcut):
    network = build("resnet", 32, depth=20, shortcut=shortcut).eval()
    for block in (block for stage in network.stages for block in stage):
        nn.init.zeros_(block.main[-1].weight)
    return network


def test_without_main_paths_the_identity_is_left():
    network = without_main_paths("identity")
    stem = network.stem(torch.randn(2, 3, 32, 32))
    expected = torch.zeros(2, 64, 8, 8)
    expected[:, 24:40] = stem[:, :, ::4, ::4]  # every second pixel, twice; 8 and 16 channels of zeros on either side
    assert torch.allclose(network.stages(stem), expected)
    assert not without_main_paths("none").stages(stem).any()


def test_without_main_paths_the_projections_are_left():
    network = without_main_paths("projection")
    stem = expected = network.stem(torch.randn(2, 3, 32, 32))
    for stage in network.stages[1:]:
        weight = stage[0].shortcut[0].weight
        expected = (F.conv2d(expected, weight, stride=2) / (1 + 1e-5) ** 0.5).relu()
    assert torch.allclose(network.stages(stem), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shortcut", ["none", "identity"])
def test_a_deeper_net_can_be_the_shallower_one(signs, shortcut):
    """He et al. 2015, section 1: the solution by construction. 20 layers and 36 that do nothing are 56 layers.

    In a plain net these are Dirac kernels and batch norm that undoes its eps (their input is behind a ReLU); in a
    residual one a zero is enough.
    """
    shallow = build("resnet", 32, depth=20, shortcut=shortcut).double()
    deep = build("resnet", 32, depth=56, shortcut=shortcut).double()
    x = torch.from_numpy(signs["images"][::100]).permute(0, 3, 1, 2).double() / 127.5 - 1
    x = F.interpolate(x, 32)
    shallow(x * 1.5)  # so that batch norm's running statistics are not those of the start
    inserted = identity.insert_identities(shallow, deep, None)
    if shortcut == "identity":
        for short, long in zip(shallow.stages, deep.stages, strict=True):
            for block in long[len(short) :]:
                nn.init.zeros_(block.main[-1].weight)
    assert inserted == 36
    expected = shallow.eval()(x)
    assert (deep.eval()(x) - expected).abs().max() < 1e-9 * expected.abs().max()
    nn.init.constant_(deep.stages[1][-1].main[-1].weight, 0.9)  # one layer that does something
    assert (deep(x) - expected).abs().max() > 1e-3 * expected.abs().max()


@pytest.mark.parametrize(
    ("depth", "shortcut", "stem"),
    [
        *((depth, "projection", "imagenet") for depth in (18, 34, 50)),
        (18, "none", "imagenet"),
        pytest.param(34, "none", "imagenet", marks=pytest.mark.slow),
        (18, "projection", "cifar"),
        *(pytest.param(depth, "projection", "cifar", marks=pytest.mark.slow) for depth in (34, 50)),
        *((20, shortcut, "cifar") for shortcut in ("none", "identity", "projection")),
        *((depth, "identity", "cifar") for depth in (56, 110)),
    ],
)
def test_it_learns(signs, depth, shortcut, stem):
    network = build("resnet", 32, 6, depth=depth, shortcut=shortcut, stem=stem)
    assert learn(network, signs, 32)[1] < 0.05


class EqualShares(torch.optim.Optimizer):
    """A gradient step in which every tensor takes the same share off the loss, lr in all, to first order."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self):
        tensors, lr = self.param_groups[0]["params"], self.param_groups[0]["lr"]
        for tensor in tensors:
            tensor -= lr / len(tensors) * tensor.grad / tensor.grad.square().sum().clamp_min(1e-30)


@pytest.mark.parametrize("depth", [44, 56, pytest.param(110, marks=pytest.mark.slow)])
def test_deep_plain_nets_learn_where_every_layer_gets_its_own_step(signs, depth):
    # the gradient of plain-110's first layer is ten million times that of its last: under one step size for all, SGD's
    # or Adam's, its loss stays above 1.2. In He et al. 2015, Figure 6, its error stays above 60 %
    network = build("resnet", 32, 6, depth=depth, shortcut="none")
    first, last = learn(network, signs, 32, EqualShares, lr=1.0, steps=300, goal=0.8)  # 11, 12 and some 100 steps
    assert last < first / 2


@pytest.mark.parametrize(("depth", "shortcut"), [(20, "none"), (110, "none"), (20, "projection"), (50, "identity")])
def test_a_dirac_start_is_close_to_the_identity(depth, shortcut):
    he = build("resnet", 32, depth=depth, shortcut=shortcut)
    network = build("resnet", 32, depth=depth, shortcut=shortcut, initialisation="dirac")
    passed = 0
    for (name, ours), theirs in zip(network.named_parameters(), he.parameters(), strict=True):
        if ours.ndim == 4 and ours.shape[2] == 3 and name != "stem.0.weight":
            identity = nn.init.dirac_(torch.empty_like(ours), groups=max(1, ours.shape[0] // ours.shape[1]))
            assert torch.allclose(ours - identity, 0.1 * theirs, atol=1e-6), name
            passed += 1
        else:
            assert torch.equal(ours, theirs), name
    assert passed == (16 if depth == 50 else depth - 2)


def test_a_plain_net_of_110_layers_learns_from_a_dirac_start(signs):
    network = build("resnet", 32, 6, depth=110, shortcut="none", initialisation="dirac")
    assert learn(network, signs, 32, steps=60, goal=0.8)[1] < 0.8


def test_without_batch_norm_the_convolutions_have_biases():
    with_norm, without = (
        build("resnet", 32, depth=20, shortcut="identity", normalisation=n) for n in ("batch", "none")
    )
    assert not any(isinstance(m, nn.BatchNorm2d) for m in without.modules())
    assert count(without) == count(with_norm) - sum(
        m.num_features for m in with_norm.modules() if isinstance(m, nn.BatchNorm2d)
    )
    assert all(m.bias is not None for m in without.modules() if isinstance(m, nn.Conv2d))
