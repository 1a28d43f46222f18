"""What must hold for every network; and what the tests beside this one share."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from lineage import models
from lineage.engine.recipe import Recipe
from lineage.options import NETWORKS, options_of

SHORTCUTS = ("none", "identity", "projection")
ALL = (
    [("lenet", 32, {})]
    + [("alexnet", 64, {"normalisation": n}) for n in ("none", "lrn", "batch")]
    + [("alexnet", 64, {"activation": a}) for a in ("tanh", "sigmoid")]
    + [
        ("alexnet", 32, {"depth": 4, "activation": a, "normalisation": n})
        for a in ("relu", "tanh", "sigmoid")
        for n in ("none", "lrn", "batch")
    ]
    + [("vgg", 32, {"depth": d, "head": h}) for d, h in ((11, "mean"), (16, "classic"))]
    + [("residual_vgg", 32, {"shortcut": s}) for s in ("none", "identity", "projection", "always-convolved")]
    + [
        ("resnet", 32, {"depth": d, "shortcut": s, "stem": t})
        for d in (8, 20, 18, 50)
        for s in ("none", "identity", "projection")
        for t in ("cifar", "imagenet")
    ]
    + [("resnet", 32, {"depth": d, "shortcut": s, "normalisation": "none"}) for d in (8, 50) for s in SHORTCUTS]
)


def build(model, size, classes=10, **options):
    """The network from seed 0, with its options as params.yaml gives them."""
    torch.manual_seed(0)
    return models.build(model, classes, size, options_of(model)(**options))


def count(network):
    return sum(p.numel() for p in network.parameters())


def shapes(modules, size, channels=3):
    """The output shape of each module in turn."""
    x, found = torch.empty(1, channels, size, size, device="meta"), []
    for module in modules:
        x = module.to("meta")(x)
        found.append(tuple(x.shape[1:]))
    return found


def transfer(theirs, ours):
    """Both state dicts hold the same tensors in the same order."""
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))


def stirred(network):
    """The network with a batch norm of which no two channels, and no two tensors, are alike."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
    return network


def assert_equal(ours, theirs, size):
    """The same outputs in evaluation, in double precision."""
    x = torch.randn(2, 3, size, size, dtype=torch.double)
    expected = theirs.double().eval()(x)
    assert (ours.double().eval()(x) - expected).abs().max() < 1e-9 * expected.abs().max()


def learn(network, signs, size, optimiser=torch.optim.Adam, lr=1e-3, steps=60, goal=0.05):
    """Train on one batch of 32 hand signs until the loss is below the goal. The first and the last loss."""
    images = torch.from_numpy(signs["images"][::37][:32]).permute(0, 3, 1, 2) / 127.5 - 1
    images = F.interpolate(images, size, mode="bilinear", antialias=size < 64)
    labels = torch.from_numpy(signs["labels"][::37][:32]).long()
    assert len(labels.unique()) == 6
    descent, losses = optimiser(network.parameters(), lr), []
    for _ in range(steps):
        loss = F.cross_entropy(network(images), labels)
        losses.append(loss.item())
        if losses[-1] < goal:
            break
        descent.zero_grad()
        loss.backward()
        descent.step()
    return losses[0], losses[-1]


class Operations(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.overloadpacket.__name__.removeprefix("_").removesuffix("_backward"))
        return function(*args, **(kwargs or {}))


# those for which torch.use_deterministic_algorithms raises an error on CUDA, of the kinds that networks use
RANDOM = {"adaptive_avg_pool2d", "adaptive_max_pool2d", "avg_pool3d", "max_pool3d_with_indices", "reflection_pad2d"}
RANDOM |= {"upsample_bilinear2d", "upsample_nearest2d", "index_put", "scatter_add", "cumsum", "nll_loss2d"}


@pytest.mark.parametrize(("model", "size", "options"), ALL)
def test_shapes_initialisation_and_gradients(model, size, options):
    network = build(model, size, 7, **options)
    with Operations() as operations:
        logits = network(torch.randn(2, 3, size, size))
        logits.square().sum().backward()
    assert logits.shape == (2, 7)
    assert not operations.names & RANDOM
    rectified = model != "lenet" and options.get("activation", "relu") == "relu"
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        if parameter.ndim > 1 and parameter.numel() > 5_000:
            window = parameter[0, 0].numel()
            fan_in, fan_out = parameter.shape[1] * window, parameter.shape[0] * window
            variance = 2 / fan_in if rectified else 2 / (fan_in + fan_out)
            assert parameter.std().item() == pytest.approx(variance**0.5, rel=0.05), name
            assert parameter.abs().max() > 3 * variance**0.5, name  # normal, not uniform
            assert abs(parameter.mean().item()) < 5 * (variance / parameter.numel()) ** 0.5, name
        elif parameter.ndim == 1:
            assert (parameter == (0 if name.endswith("bias") else 1)).all(), name


@pytest.mark.parametrize(("model", "size", "options"), ALL)
def test_the_smallest_input(model, size, options):
    smallest = options_of(model)(**options).smallest
    with torch.device("meta"):
        assert build(model, smallest, **options)(torch.empty(2, 3, smallest, smallest)).shape == (2, 10)


def test_every_family_has_its_file_and_its_options():
    needed = {"resnet": {"depth": 20, "shortcut": "none"}, "vgg": {"depth": 16}, "residual_vgg": {"shortcut": "none"}}
    files = {path.stem for path in Path(models.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == set(NETWORKS)
    for model in NETWORKS:
        with torch.device("meta"):
            build(model, 64, **needed.get(model, {}))
        assert not set(options_of(model).model_fields) & {"dataset", "model", "recipe", *Recipe.model_fields}


@pytest.mark.parametrize(
    ("layer", "found"),
    [
        (nn.LocalResponseNorm(5), {"avg_pool3d"}),
        (nn.AdaptiveAvgPool2d(4), {"adaptive_avg_pool2d"}),
        (nn.AdaptiveAvgPool2d(1), set()),  # a mean
    ],
)
def test_operations_that_are_not_deterministic_are_found(layer, found):
    with Operations() as operations:
        nn.Sequential(nn.Conv2d(3, 4, 3), layer)(torch.randn(2, 3, 8, 8)).sum().backward()
    assert operations.names & RANDOM == found


def test_the_size_of_a_network():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 16, 10))
    size = models.size(network, 4)
    assert size == {"parameters": 3 * 9 * 8 + 8 + 16 + 128 * 10 + 10, "multiply_adds": 27 * 8 * 16 + 128 * 10}


@pytest.mark.parametrize(("depth", "millions"), [(20, 40.55), (110, 252.89)])
def test_multiply_adds_of_residual_networks(depth, millions):
    network = build("resnet", 32, depth=depth, shortcut="identity")
    assert models.size(network, 32)["multiply_adds"] / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize(
    ("model", "size", "options", "layers"),
    [
        ("alexnet", 63, {}, 2),
        ("vgg", 32, {"depth": 11}, 1),
        ("vgg", 32, {"depth": 11, "head": "classic"}, 2),
        ("residual_vgg", 32, {"shortcut": "none"}, 2),
    ],
)
def test_dropout_is_as_likely_as_the_option_says(model, size, options, layers):
    with torch.device("meta"):
        network = build(model, size, dropout=0.3, **options)
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.3] * layers


@pytest.mark.parametrize(
    ("model", "options", "activation"),
    [
        ("vgg", {"depth": 11, "head": "classic"}, nn.ReLU),
        ("residual_vgg", {"shortcut": "none"}, nn.ReLU),
        ("lenet", {}, nn.Tanh),
    ],
)
def test_an_activation_stands_between_the_linear_layers_of_a_head(model, options, activation):
    with torch.device("meta"):
        head = build(model, 32, **options).head
    kinds = [type(m) for m in head if not isinstance(m, nn.Flatten | nn.Dropout)]
    assert kinds == [nn.Linear, activation, nn.Linear, activation, nn.Linear]
