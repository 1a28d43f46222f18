"""docs/errata.md: what the four articles print, reproduced by snippets of our own, one test per entry."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from torch import nn
from torch.nn import functional as F

from lineage import archives, models, params
from lineage.tensors import channel_statistics

ERRATA = (REPOSITORY / "docs/errata.md").read_text(encoding="utf-8")
VGG16 = {"depth": 16, "head": "classic", "dropout": 0.5}
ALEXNET = {"normalisation": "none", "dropout": 0.5}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_every_entry_names_a_test_that_exists():
    here = (REPOSITORY / "tests/test_errata.py").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+)`", ERRATA)
    defined = set(re.findall(r"^def (test_\w+)", here, re.M)) - {"test_every_entry_names_a_test_that_exists"}
    assert defined <= set(named)
    everywhere = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "tests").rglob("test_*.py"))
    assert all(f"def {name}(" in everywhere for name in named)


def test_the_second_argument_of_batch_norm_is_eps():
    printed = nn.BatchNorm2d(64, 0.9)
    assert (printed.eps, printed.momentum) == (0.9, 0.1)
    for model, options in (("vgg", VGG16), ("resnet", {"depth": 20, "shortcut": "identity", "stem": "cifar"})):
        ours = [m for m in models.build(model, 10, 32, options).modules() if isinstance(m, nn.BatchNorm2d)]
        assert {(m.eps, m.momentum) for m in ours} == {(1e-5, 0.1)}


def test_batch_norm_of_other_channels_crashes():
    with pytest.raises(RuntimeError, match="running_mean should contain 256 elements not 128"):
        nn.Sequential(nn.Conv2d(128, 256, 3), nn.BatchNorm2d(128))(torch.randn(2, 128, 4, 4))


def test_size_of_a_tensor_crashes():
    x = torch.randn(2, 512, 1, 1)
    with pytest.raises(TypeError):
        x.view(x.size(x), -1)


def test_five_pools_leave_one_pixel_four_leave_two():
    x = torch.randn(1, 512, 32, 32)
    assert [F.max_pool2d(x, 2**n).flatten(1).shape[1] for n in (4, 5)] == [2048, 512]
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        nn.Linear(512, 1024)(F.max_pool2d(x, 16).flatten(1))


def test_a_block_of_512_to_512_is_possible():
    x = torch.randn(2, 512, 2, 2)
    main = nn.Sequential(nn.Conv2d(512, 512, 3, padding=1), nn.BatchNorm2d(512), nn.ReLU(), nn.MaxPool2d(2))
    for shortcut in (nn.MaxPool2d(2), nn.Sequential(nn.Conv2d(512, 512, 1), nn.MaxPool2d(2))):
        assert (main(x) + shortcut(x)).shape == (2, 512, 1, 1)


def test_weights_between_zero_and_one_explode():
    def deviation(initialise):
        x = torch.randn(16, 64, 8, 8)
        for _ in range(16):
            conv = nn.Conv2d(64, 64, 3, padding=1, bias=False)
            initialise(conv.weight)
            x = torch.relu(conv(x))
        return x.std().item()

    assert deviation(nn.init.uniform_) > 1e25
    assert 0.1 < deviation(lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu")) < 10


def test_alexnets_first_layer_gives_54_without_padding():
    assert F.conv2d(torch.zeros(1, 3, 224, 224), torch.zeros(1, 3, 11, 11), stride=4).shape[2] == 54
    assert F.conv2d(torch.zeros(1, 3, 227, 227), torch.zeros(1, 3, 11, 11), stride=4).shape[2] == 55
    ours = models.build("alexnet", 2, 224, ALEXNET)
    assert ours.features[0](torch.zeros(1, 3, 224, 224)).shape[2] == 55


def test_valid_padding_does_not_keep_13_pixels():
    x, w = torch.zeros(1, 8, 13, 13), torch.zeros(8, 8, 3, 3)
    assert [F.conv2d(x, w, padding=p).shape[2] for p in (0, 1)] == [11, 13]


def test_without_eval_an_image_is_judged_by_its_company():
    network = models.build("resnet", 6, 32, {"depth": 8, "shortcut": "identity", "stem": "cifar"})
    image, others = torch.randn(1, 3, 32, 32), torch.randn(7, 3, 32, 32)
    batches = [torch.cat([image, company]) for company in (others, others * 2 + 1)]
    in_training = [network(batch)[0] for batch in batches]
    assert not torch.allclose(*in_training, atol=1e-3)
    network.eval()
    in_use = [network(batch)[0] for batch in batches]
    assert torch.allclose(*in_use, atol=1e-5)


def test_a_bias_before_batch_norm_does_nothing():
    conv, norm = nn.Conv2d(3, 4, 3).double(), nn.BatchNorm2d(4).double()
    x = torch.randn(8, 3, 8, 8, dtype=torch.double)
    before = norm(conv(x))
    before.square().sin().sum().backward()
    assert conv.bias.grad.abs().max() < 1e-9 * conv.weight.grad.abs().max()
    with torch.no_grad():
        conv.bias += 5
    assert torch.allclose(norm(conv(x)), before)
    ours = models.build("vgg", 10, 32, VGG16)
    assert all(m.bias is None for m in ours.modules() if isinstance(m, nn.Conv2d))


def test_a_block_chosen_by_channels_alone_crashes_on_a_stride():
    x = torch.randn(1, 64, 8, 8)
    with pytest.raises(RuntimeError, match="must match"):
        nn.Conv2d(64, 64, 3, stride=2, padding=1)(x) + x  # equal channels, so "identity"
    from lineage.models.resnet import Block

    assert Block(64, 64, 2, "identity")(x).shape == (1, 64, 4, 4)


def test_relu_in_place_after_batch_norm_does_not_break_the_backward_pass():
    def gradient(in_place):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=in_place), nn.Conv2d(8, 4, 3))
        net(torch.randn(2, 3, 8, 8)).square().sum().backward()
        return net[0].weight.grad

    assert torch.equal(gradient(True), gradient(False))
    # what does break it: changing in place what an operation needs for its gradient
    x = torch.randn(3, requires_grad=True)
    y = x.sigmoid()
    y.relu_().add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_the_copied_deviations_are_means_of_per_image_deviations():
    block = params.read(REPOSITORY / "params.yaml").datasets["cifar10"]
    archive = REPOSITORY / "data/sample" / block.sample.name
    images = archives.read(block.sample.format, [archive], block.classes, 32)[0]["images"]
    per_image = (images / 255).std((1, 2)).mean(0)
    assert per_image == pytest.approx([0.2023, 0.1994, 0.2010], abs=0.012)  # 1,400 of 60,000 images
    _, std = channel_statistics(images.transpose(0, 3, 1, 2))
    assert std == pytest.approx([0.2470, 0.2435, 0.2616], abs=0.012)
    assert (std - per_image > 0.035).all()


@pytest.mark.parametrize(("depth", "convolutions"), [(16, 13), (19, 16)])
def test_vgg16_has_13_convolutions(depth, convolutions):
    network = models.build("vgg", 10, 32, VGG16 | {"depth": depth})
    assert sum(isinstance(m, nn.Conv2d) for m in network.modules()) == convolutions
    assert sum(isinstance(m, nn.Linear) for m in network.modules()) == 3


def test_functional_dropout_stays_on_during_evaluation():
    class Printed(nn.Module):
        def forward(self, x):
            return F.dropout(x, 0.5)

    x = torch.ones(1000)
    assert (Printed().eval()(x) == 0).any()
    assert torch.equal(nn.Dropout(0.5).eval()(x), x)
    ours = models.build("alexnet", 2, 64, ALEXNET).eval()
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(ours(images), ours(images))


def test_linear_layers_without_relu_are_one_linear_layer():
    first, second = nn.Linear(20, 50, dtype=torch.double), nn.Linear(50, 3, dtype=torch.double)
    x = torch.randn(7, 20, dtype=torch.double)
    one = x @ (second.weight @ first.weight).T + second.weight @ first.bias + second.bias
    assert torch.allclose(second(first(x)), one)
    head = models.build("alexnet", 2, 64, ALEXNET).head
    hidden = [nn.Linear, nn.ReLU, nn.Dropout]
    assert [type(m) for m in head] == [nn.Flatten, *hidden, *hidden, nn.Linear]


def test_lists_shuffled_separately_share_most_test_images():
    generator = np.random.default_rng(0)
    train, test = generator.permutation(1000)[:900], generator.permutation(1000)[900:]
    assert np.isin(test, train).mean() == pytest.approx(0.9, abs=0.06)


def test_the_best_of_many_epochs_on_the_test_part_is_too_good():
    generator = np.random.default_rng(0)
    epochs = generator.binomial(2500, 0.9, (200, 100)) / 2500  # 200 trainings, 100 epochs, none better than 90 %
    assert epochs.mean() == pytest.approx(0.9, abs=0.001)
    assert epochs.max(1).mean() > 0.913


def test_a_sigmoid_does_not_clip():
    x = torch.linspace(-20, 20, 401, dtype=torch.double, requires_grad=True)
    y = x.sigmoid()
    y.sum().backward()
    assert ((y > 0) & (y < 1) & (x.grad > 0)).all()


def test_local_response_normalisation_is_no_standardisation():
    x = torch.rand(1, 5, 1, 1, dtype=torch.double) * 100
    squares = x.square().sum()
    mean_and_root = (x - x.mean()) / squares.sqrt()
    from lineage.models.alexnet import LocalResponseNorm

    ours = LocalResponseNorm()(x)
    assert ours[0, 2, 0, 0] == pytest.approx((x[0, 2, 0, 0] / (2 + 1e-4 * squares) ** 0.75).item(), rel=1e-5)
    assert not torch.allclose(ours, mean_and_root, rtol=0.1)


def test_dropout_scaled_twice_counts_twice():
    x = torch.ones(100_000)
    trained = F.dropout(x, 0.5, training=True)  # scales by 2 what it keeps
    assert trained.mean().item() == pytest.approx(1, abs=0.02)
    assert (x * 0.5).mean().item() == 0.5  # and halving the weights in testing as well gives half of it


def test_a_sum_of_losses_keeps_every_graph():
    weight, total, detached = torch.ones(3, requires_grad=True), 0, 0
    for _ in range(4):
        loss = (weight * 2).sum()
        total, detached = total + loss, detached + loss.detach()
    depth, node = 0, total.grad_fn
    while node is not None:
        depth, node = depth + 1, node.next_functions[0][0] if node.next_functions else None
    assert depth >= 4
    assert detached.grad_fn is None


def test_a_hash_seed_set_after_the_start_has_no_effect():
    code = "import os; os.environ['PYTHONHASHSEED'] = '0'; print(hash('alexnet'))"
    environment = {"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "random"}
    runs = {subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True).stdout for _ in range(4)}
    assert len(runs) > 1


def test_eval_lasts_until_train_is_called():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout())
    network.eval()
    before = network[0].running_mean.clone()
    for _ in range(3):  # "training" goes on, but nothing is in training mode
        network(torch.randn(4, 3, 2, 2) + 1)
    assert not network.training
    assert torch.equal(network[0].running_mean, before)
