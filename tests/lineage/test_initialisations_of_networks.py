import pytest
import torch
from torch import nn

from lineage import initialisations, models
from lineage.options.resnet import Options


def plain(initialisation="he", depth=20):
    torch.manual_seed(0)
    return models.build("resnet", 6, 32, Options(depth=depth, shortcut="none", initialisation=initialisation))


def images(seed=1):
    return torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def test_the_identity_and_a_tenth_of_he_is_what_experiments_call_dirac():
    network = plain()
    initialisations.initialise(network, "random-0.1")
    expected = plain("dirac").state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in network.state_dict().items())


def test_the_share_of_random_weights():
    before, network = plain(), plain()
    initialisations.initialise(network, "random-0.4")
    assert torch.equal(network.stem[0].weight, before.stem[0].weight)
    assert torch.equal(network.head.weight, before.head.weight)
    kernel, random = (one.stages[2][1].main[3].weight for one in (network, before))
    identity = kernel - 0.4 * random
    assert identity[:, :, 1, 1].sub(torch.eye(64)).abs().max() < 1e-6
    assert identity.abs().sum().item() == pytest.approx(64, rel=1e-4)


def test_looks_linear_is_linear_up_to_the_last_relu():
    """Twice the image gives twice the features, and its negative their negative, which He's network does not give."""

    def features(network, x):
        found = []
        network.head.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.0  # in use: the running mean 0 and variance 1, without which nothing is linear
        network.eval()(x)
        network.eval()(2 * x)
        network(-x)
        return [one.double() for one in found]

    network = plain()
    initialisations.initialise(network, "looks-linear")
    with torch.no_grad():
        once, twice, negative = features(network, images())
    halves = once[:, :32] - once[:, 32:]
    assert torch.allclose(twice[:, :32] - twice[:, 32:], 2 * halves, rtol=1e-4, atol=1e-5)
    assert torch.allclose(negative[:, :32] - negative[:, 32:], -halves, rtol=1e-4, atol=1e-5)
    assert halves.abs().max() > 1e-3
    usual = features(plain(), images())
    assert not torch.allclose(usual[2][:, :32] - usual[2][:, 32:], usual[0][:, 32:] - usual[0][:, :32], atol=1e-3)


def test_looks_linear_in_training_is_neither_the_identity_nor_the_same_for_every_seed():
    network, other = plain(), plain()
    initialisations.initialise(network, "looks-linear")
    initialisations.initialise(other, "looks-linear")  # the generator has gone on
    kernel, another = (one.stages[0][0].main[0].weight for one in (network, other))
    assert torch.equal(kernel[:8, :8], -kernel[8:, :8]) and torch.equal(kernel[:8, :8], kernel[8:, 8:])
    mix = kernel[:8, :8, 1, 1]
    assert torch.allclose(mix @ mix.T, torch.eye(8), atol=1e-5)
    assert (mix - torch.eye(8)).abs().max() > 0.1
    assert kernel[:, :, 0].abs().max() == 0
    assert not torch.equal(kernel, another)
