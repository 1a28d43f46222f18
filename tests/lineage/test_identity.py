import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lineage import identity, models
from lineage.engine.augment import Images
from lineage.options.resnet import Options


def plain(depth):
    return models.build("resnet", 6, 32, Options(depth=depth, shortcut="none"))


@pytest.fixture(scope="module")
def images(signs):
    """64 of SIGNS."""
    pixels = torch.from_numpy(np.ascontiguousarray(signs["images"][::15][:64].transpose(0, 3, 1, 2)))
    labels = torch.from_numpy(signs["labels"][::15][:64]).long()
    return Images(pixels, labels, torch.full((3,), 0.5), torch.full((3,), 0.3), 32, torch.device("cpu"))


@pytest.fixture(scope="module")
def shallow(images):
    """A network of 20 layers whose batch norms are no longer as at the start."""
    torch.manual_seed(0)
    network = plain(depth=20)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
        for _ in range(30):
            network(images.plain(0, 64))
    return network


@pytest.mark.parametrize("neutral", ["in use", "in training"])
def test_36_layers_that_do_nothing(shallow, images, neutral):
    deep = plain(depth=56)
    assert identity.insert_identities(shallow, deep, images if neutral == "in training" else None) == 36
    x = images.plain(0, 64)
    assert identity.difference(shallow, deep, x) < identity.CLOSE
    with torch.no_grad():
        expected, trained = (copy.deepcopy(network).train()(x) for network in (shallow, deep))
    apart = ((trained - expected).abs().max() / expected.abs().max()).item()
    assert apart < 0.02 if neutral == "in training" else apart > 0.2
    with torch.no_grad():
        deep.stages[1][-1].main[-1].weight.mul_(0.9)  # one layer that does something
    assert identity.difference(shallow, deep, x) > 100 * identity.CLOSE


def test_every_new_layer_gets_a_gradient(shallow, images):
    deep = plain(depth=56)
    identity.insert_identities(shallow, deep, images)
    F.cross_entropy(deep.train()(images.plain(0, 64)), images.labels).backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in deep.parameters())


def test_statistics_are_those_of_the_images_as_in_training(shallow, images):
    mean, variance = identity.statistics(shallow, 1, images)
    with torch.no_grad():
        network = copy.deepcopy(shallow).train()
        x = network.stages[:2](network.stem(images.plain(0, 64)))
    assert torch.allclose(mean, x.mean((0, 2, 3)), atol=1e-4)
    assert torch.allclose(variance, x.var((0, 2, 3), correction=0), rtol=1e-3, atol=1e-5)
