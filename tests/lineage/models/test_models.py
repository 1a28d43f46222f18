"""The networks beside torchvision's, the papers' parameter counts, and what must hold for all of them."""

import pytest
import torch
from torch import nn
from torchvision import models as reference

from lineage import models
from lineage.params import NETWORKS

CIFAR = {"shortcut": "identity", "stem": "cifar"}
ALL = (
    [("alexnet", 64, {"normalisation": n, "dropout": 0.5}) for n in ("none", "lrn", "batch")]
    + [("vgg", 32, {"depth": d, "head": h, "dropout": 0.5}) for d in (11, 16) for h in ("mean", "classic")]
    + [
        ("resnet", 32, {"depth": d, "shortcut": s, "stem": t})
        for d in (8, 20, 18, 50)
        for s in ("none", "identity", "projection")
        for t in ("cifar", "imagenet")
    ]
)


def count(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("model", "size", "options"), ALL)
def test_shapes_initialisation_and_gradients(model, size, options):
    torch.manual_seed(0)
    network = models.build(model, 7, size, options)
    logits = network(torch.randn(2, 3, size, size))
    assert logits.shape == (2, 7)
    logits.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        if parameter.ndim > 1 and parameter.numel() > 20_000:
            fan_in = parameter[0].numel()
            assert parameter.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05), name


def test_every_family_has_its_file_and_its_options():
    for model, options in NETWORKS.items():
        network = {"resnet": {"depth": 20, "shortcut": "none"}, "vgg": {"depth": 16}}.get(model, {})
        models.build(model, 3, 64, options(**network).model_dump())


def transfer(theirs, ours):
    """Both state dicts hold the same tensors in the same order."""
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_resnets_equal_torchvisions(depth):
    torch.manual_seed(0)
    theirs = getattr(reference, f"resnet{depth}")(weights=None).double().eval()
    ours = models.build("resnet", 1000, 224, {"depth": depth, "shortcut": "projection", "stem": "imagenet"})
    ours = ours.double().eval()
    assert count(ours) == count(theirs)
    transfer(theirs, ours)
    x = torch.randn(2, 3, 96, 96, dtype=torch.double)
    expected = theirs(x)
    assert (ours(x) - expected).abs().max() < 1e-9 * expected.abs().max()


@pytest.mark.parametrize("depth", [16, 19])
def test_vgg_features_equal_torchvisions(depth):
    torch.manual_seed(0)
    theirs = getattr(reference, f"vgg{depth}_bn")(weights=None).features.double().eval()
    ours = models.build("vgg", 10, 64, {"depth": depth, "head": "mean", "dropout": 0.0}).double().eval()
    state = dict(theirs.state_dict())
    biases = [name for name in state if name.endswith("bias") and name.replace("bias", "running_mean") not in state]
    for name in biases:  # torchvision's convolutions keep a bias in front of batch norm; it starts at zero
        assert not state.pop(name).any()
    ours.features.load_state_dict(state)
    x = torch.randn(2, 3, 64, 64, dtype=torch.double)
    expected = theirs(x)
    assert (ours.features(x) - expected).abs().max() < 1e-9 * expected.abs().max()


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.73)])
def test_parameters_of_table_6(depth, millions):
    residual = models.build("resnet", 10, 32, {"depth": depth} | CIFAR)
    plain = models.build("resnet", 10, 32, {"depth": depth} | CIFAR | {"shortcut": "none"})
    assert round(count(residual) / 1e6, 2) == millions
    assert count(plain) == count(residual)


def test_alexnet_has_the_papers_size():
    network = models.build("alexnet", 1000, 224, {"normalisation": "none", "dropout": 0.5})
    assert round(count(network) / 1e6, 1) == 62.4
    sizes, x = [], torch.randn(1, 3, 224, 224)
    for layer in network.features:
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            sizes.append(x.shape[2])
    assert sizes == [55, 27, 27, 13, 13, 13, 13, 6]


def test_local_response_norm_equals_torchs():
    from lineage.models.alexnet import LocalResponseNorm

    x = torch.randn(2, 9, 4, 4) * 30
    # torch divides alpha by the number of channels, the paper does not
    assert torch.allclose(LocalResponseNorm()(x), nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)(x), rtol=1e-5)


def test_a_residual_network_without_main_paths_is_its_shortcuts():
    torch.manual_seed(0)
    network = models.build("resnet", 10, 32, {"depth": 20} | CIFAR).eval()
    for block in (b for stage in network.stages for b in stage):
        nn.init.zeros_(block.main[-1].weight)
    x = torch.randn(2, 3, 32, 32)
    stem = network.stem(x)
    expected = torch.zeros(2, 64, 8, 8)
    expected[:, 24:40] = stem[:, :, ::4, ::4]
    assert torch.allclose(network.stages(stem), expected)


@pytest.mark.parametrize(
    ("model", "size", "options", "said"),
    [
        ("resnet", 32, {"depth": 21} | CIFAR, "6n"),
        ("vgg", 16, {"depth": 16, "head": "mean", "dropout": 0.0}, "32 will do"),
        ("alexnet", 32, {"normalisation": "none", "dropout": 0.5}, "63 will do"),
    ],
)
def test_what_cannot_be_built_is_said(model, size, options, said):
    with pytest.raises(ValueError, match=said):
        models.build(model, 10, size, options)


def test_alexnet_takes_63_pixels():
    assert models.build("alexnet", 2, 63, {"normalisation": "none", "dropout": 0.5})(
        torch.randn(1, 3, 63, 63)
    ).shape == (1, 2)
