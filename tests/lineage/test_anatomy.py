import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lineage import anatomy, models
from lineage.engine.augment import Images
from lineage.options import options_of

RESNET = {"depth": 8, "shortcut": "identity", "stem": "cifar"}


def build(model="resnet", size=32, **options):
    torch.manual_seed(0)
    return models.build(model, 6, size, options_of(model)(**(options or RESNET)))


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
    norms = anatomy.gradient_norms(network, x, y)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
    network.train()
    F.cross_entropy(network(x), y).backward()
    for name, (gradient, weight) in norms.items():
        module = network.get_submodule(name)
        assert gradient == pytest.approx(module.weight.grad.norm().item(), rel=1e-5)
        assert weight == pytest.approx(module.weight.norm().item(), rel=1e-6)


def test_gradients_whose_squares_are_too_small_for_float32_are_not_zero():
    network = build(depth=56, shortcut="none", stem="cifar", normalisation="none")
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.mul_(0.4) if name.endswith("weight") else None
    norms = [gradient for gradient, _ in anatomy.gradient_norms(network, *images()).values()]
    assert 0 < min(norms) < 1e-20


def test_the_steepest_layer_is_the_one_that_a_step_moves_most():
    network, (x, y) = build(depth=14, shortcut="none", stem="cifar"), images()
    with torch.no_grad():
        network.stages[1][0].main[3].weight.mul_(0.01)  # batch norm hides it, and the gradient grows by as much
    layer, ratio = anatomy.steepest(network, x, y)
    assert layer == "stages.1.0.main.3"
    before = network.get_submodule(layer).weight.detach().clone()
    network.train()
    F.cross_entropy(network(x), y).backward()
    step = network.get_submodule(layer).weight.grad
    assert ratio == pytest.approx((step.norm() / before.norm()).item(), rel=1e-4)


def test_gradients_are_without_dropout():
    network, (x, y) = build("vgg", depth=11, head="mean", dropout=0.9), images()
    assert anatomy.gradient_norms(network, x, y) == anatomy.gradient_norms(network, x, y)


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


def test_re_estimated_statistics_are_the_average_of_the_batches():
    network, (x, _) = build(), images(12)
    with torch.no_grad():
        network.train()(x * 5)  # statistics that do not fit
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    fresh = anatomy.re_estimated(network, x.split(6))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not any(module.training for module in fresh.modules())
    responses = network.stem[0](x)
    means = torch.stack([part.mean((0, 2, 3)) for part in responses.split(6)]).mean(0)
    variances = torch.stack([part.var((0, 2, 3)) for part in responses.split(6)]).mean(0)
    assert torch.allclose(fresh.stem[1].running_mean, means, atol=1e-5)
    assert torch.allclose(fresh.stem[1].running_var, variances, rtol=1e-4)
    again = anatomy.re_estimated(fresh, x.split(6))
    assert all(torch.equal(a, b) for a, b in zip(again.buffers(), fresh.buffers(), strict=True))
    dropping = build("vgg", depth=11, head="mean", dropout=0.9)
    twice = [anatomy.re_estimated(dropping, [x])(x) for _ in range(2)]
    assert torch.equal(*twice)


def test_batches_for_an_average_are_of_nearly_the_same_size():
    pixels = torch.zeros(130, 3, 16, 16, dtype=torch.uint8)
    part = Images(pixels, torch.zeros(130), torch.zeros(3), torch.ones(3), 16, torch.device("cpu"))
    assert [len(batch) for batch in anatomy.batches(part)] == [44, 43, 43]


def test_batches_for_an_average_mix_what_is_stored_by_class():
    """A batch of one class has statistics of its own."""
    pixels = torch.arange(130, dtype=torch.uint8)[:, None, None, None].expand(130, 3, 16, 16).contiguous()
    part = Images(pixels, torch.zeros(130), torch.zeros(3), torch.ones(3), 16, torch.device("cpu"))
    batches = anatomy.batches(part)
    stored = [(batch[:, 0, 0, 0] * 255).round().int().tolist() for batch in batches]
    assert sorted(image for images in stored for image in images) == list(range(130))
    assert all(max(images) - min(images) > 120 and max(np.diff(images)) == 3 for images in stored)
    assert all(batch.is_contiguous(memory_format=part.layout) for batch in batches)


def test_divisors_are_those_of_the_response_normalisations():
    network, (x, _) = build("alexnet", depth=4, normalisation="lrn"), images()
    found = anatomy.divisors(network, x)
    assert list(found) == ["features.3", "features.7"]
    with torch.no_grad():
        entering = network.features[:3](x)
        nonzero = entering > 0.1
        divided = network.features[3](entering)[nonzero]
        assert torch.allclose(entering[nonzero] / divided, found["features.3"][nonzero], rtol=1e-4)
    assert anatomy.divisors(build(), x) == {}
