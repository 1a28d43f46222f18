import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lineage import anatomy, models

RESNET = {"depth": 8, "shortcut": "identity", "stem": "cifar"}


def build(model="resnet", size=32, **options):
    torch.manual_seed(0)
    return models.build(model, 6, size, options or RESNET)


def images(n=8, size=32):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 3, size, size, generator=generator), torch.arange(n) % 6


def test_layers_are_those_of_the_main_path():
    network = build(depth=8, shortcut="projection", stem="cifar")
    names = list(anatomy.layers(network))
    assert len(names) == 8
    assert names[0] == "stem.0" and names[-1] == "head"
    assert list(anatomy.layers(build(depth=8, shortcut="none", stem="cifar"))) == names


def test_gradients_are_those_of_a_training_step_and_leave_no_trace():
    network, (x, y) = build(), images()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    norms = anatomy.gradients(network, x, y)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
    network.train()
    F.cross_entropy(network(x), y).backward()
    for name, (gradient, weight) in norms.items():
        module = network.get_submodule(name)
        assert gradient == pytest.approx(module.weight.grad.norm().item(), rel=1e-5)
        assert weight == pytest.approx(module.weight.norm().item(), rel=1e-6)


def test_gradients_whose_squares_are_too_small_for_float32_are_not_zero():
    torch.manual_seed(0)
    network = anatomy.initialised(build(depth=56, shortcut="none", stem="cifar"), "framework", batch_norm=False)
    norms = [gradient for gradient, _ in anatomy.gradients(network, *images()).values()]
    assert 0 < min(norms) < 1e-20


def test_gradients_are_without_dropout():
    network, (x, y) = build("vgg", depth=11, head="mean", dropout=0.9), images()
    assert anatomy.gradients(network, x, y) == anatomy.gradients(network, x, y)


def test_responses_are_measured_behind_the_layers_own_batch_norm():
    network, (x, _) = build(depth=8, shortcut="projection", stem="cifar"), images()
    found = anatomy.responses(network, x)
    assert list(found) == list(anatomy.layers(network))
    network.eval()
    with torch.no_grad():
        stem = network.stem[1](network.stem[0](x))
        assert found["stem.0"] == pytest.approx(stem.std().item(), rel=1e-5)
        block, entering = network.stages[0][0], torch.relu(stem)
        assert found["stages.0.0.main.3"] == pytest.approx(block.main(entering).std().item(), rel=1e-5)
        assert found["head"] == pytest.approx(network(x).std().item(), rel=1e-5)


def test_a_batch_norm_behind_the_activation_is_not_the_layers_response():
    options = {"depth": 8, "normalisation": "batch", "activation": "relu", "dropout": 0.5}
    network, (x, _) = build("alexnet", 64, **options), images(2, 64)
    with torch.no_grad():
        alone = network.features[0](x).std().item()
    assert anatomy.responses(network, x)["features.0"] == pytest.approx(alone, rel=1e-5)


def test_what_a_block_adds():
    network, (x, _) = build(), images()
    found = anatomy.additions(network, x)
    assert list(found) == ["stages.0.0", "stages.1.0", "stages.2.0"]
    block = network.stages[0][0]
    with torch.no_grad():
        entering = network.eval().stem(x)
        ratio = block.main(entering).flatten(1).norm(dim=1) / entering.flatten(1).norm(dim=1)
        assert found["stages.0.0"] == pytest.approx(ratio.mean().item(), rel=1e-5)
        nn.init.zeros_(block.main[-1].weight)
    assert anatomy.additions(network, x)["stages.0.0"] == 0
    assert anatomy.additions(build(depth=8, shortcut="none", stem="cifar"), x) == {}
    residual_vgg = build("residual_vgg", shortcut="identity", dropout=0.5)
    assert len(anatomy.additions(residual_vgg, x)) == 5


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("name", anatomy.INITIALISATIONS)
def test_initialisations(name, batch_norm):
    network = build(depth=20, shortcut="none", stem="cifar")
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.fill_(7)
    before = network.state_dict()["stages.2.1.main.3.weight"].clone()
    torch.manual_seed(1)
    begun = anatomy.initialised(network, name, batch_norm)
    fan_in = 64 * 9
    expected = {"he": math.sqrt(2 / fan_in), "framework": math.sqrt(1 / (3 * fan_in)), "normal-0.01": 0.01}[name]
    assert begun.stages[2][1].main[3].weight.std().item() == pytest.approx(expected, rel=0.02)
    assert begun.head.bias.abs().max() == 0
    norms = [module for module in begun.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all((module.weight == 1).all() for module in norms)
    assert len(norms) == (19 if batch_norm else 0)
    assert torch.equal(network.state_dict()["stages.2.1.main.3.weight"], before)
    assert begun(images()[0]).shape == (8, 6)


def test_deep_plain_gradients_explode_with_batch_norm_and_are_gone_without():
    """With small weights and no batch norm nothing of the picture reaches the loss, and no gradient the first layer."""
    network, (x, y) = build(depth=56, shortcut="none", stem="cifar"), images()
    with_norm = [norm for norm, _ in anatomy.gradients(anatomy.initialised(network, "he", True), x, y).values()]
    assert with_norm[0] > 100 * with_norm[-2]
    without = [norm for norm, _ in anatomy.gradients(anatomy.initialised(network, "normal-0.01", False), x, y).values()]
    assert without[0] == 0
