"""docs/errata.md: what the four articles print, reproduced by snippets of our own, one test per entry."""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from torch import nn
from torch.nn import functional as F

from lineage import archives, models, params
from lineage.options import options_of
from lineage.parts import channel_statistics

ERRATA = (REPOSITORY / "docs/errata.md").read_text(encoding="utf-8")
VGG16 = {"depth": 16, "head": "classic", "dropout": 0.5}
ALEXNET = {}
RESIDUAL_VGG = {"shortcut": "identity", "dropout": 0.5}


def build(model, classes, size, options):
    return models.build(model, classes, size, options_of(model)(**options))


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
    rows = [line for line in ERRATA.splitlines() if line.endswith(" |")]
    headings = {row for row, below in pairwise(rows) if re.fullmatch(r"[|: -]+", below)}
    entries = [row for row in rows if row not in headings and not re.fullmatch(r"[|: -]+", row)]
    assert len(entries) > 30
    assert [row for row in entries if "`test_" not in row.rsplit(" | ", 1)[-1]] == []


def test_the_second_argument_of_batch_norm_is_eps():
    printed = nn.BatchNorm2d(64, 0.9)
    assert (printed.eps, printed.momentum) == (0.9, 0.1)
    for model, options in (("vgg", VGG16), ("resnet", {"depth": 20, "shortcut": "identity", "stem": "cifar"})):
        ours = [m for m in build(model, 10, 32, options).modules() if isinstance(m, nn.BatchNorm2d)]
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
    ours = build("residual_vgg", 10, 32, RESIDUAL_VGG)
    assert len(ours.features) == 5
    assert ours.features(torch.randn(2, 3, 32, 32)).shape == (2, 512, 1, 1)


@pytest.mark.parametrize("shortcut", ["identity", "projection", "always-convolved"])
def test_a_block_of_512_to_512_is_possible(shortcut):
    block = build("residual_vgg", 10, 32, RESIDUAL_VGG | {"shortcut": shortcut}).features[4]
    x = torch.randn(2, 512, 2, 2)
    assert block(x).shape == (2, 512, 1, 1)
    added = block(x) - block.main(x)
    assert torch.allclose(added, F.max_pool2d(x, 2), atol=1e-5) == (shortcut != "always-convolved")


def test_a_block_without_activation_is_a_linear_map():
    def block(x):  # as printed first: convolution, convolution, sum
        return F.conv2d(F.conv2d(x, first, padding=1), second, padding=1) + x

    first, second = torch.randn(2, 8, 8, 3, 3, dtype=torch.double)
    x, y = torch.randn(2, 2, 8, 9, 9, dtype=torch.double)
    assert torch.allclose(block(block(x + y)), block(block(x)) + block(block(y)))
    ours = build("residual_vgg", 10, 32, RESIDUAL_VGG).double().eval().features[3].main
    x, y = torch.randn(2, 2, 256, 4, 4, dtype=torch.double)
    assert not torch.allclose(ours(x + y), ours(x) + ours(y), rtol=0.1)


def test_without_batch_norm_a_residual_signal_doubles_with_each_block():
    x, deviations = torch.randn(16, 64, 8, 8), []
    for _ in range(8):
        conv = nn.Conv2d(64, 64, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        x = x + conv(x.relu())
        deviations.append(x.std().item())
    growth = np.diff(np.log2(np.square(deviations)))
    assert growth == pytest.approx(np.full(7, 1.0), abs=0.5)


def test_a_convolved_shortcut_is_not_the_identity():
    image = torch.randn(2, 3, 32, 32)
    kept = {}
    for shortcut in ("identity", "always-convolved"):
        network = build("residual_vgg", 10, 32, RESIDUAL_VGG | {"shortcut": shortcut}).eval()
        for block in network.features:
            nn.init.zeros_(block.main[1][1].weight)  # F(x) = 0, which should be all that the identity takes
        kept[shortcut] = torch.equal(network.features(image)[:, :3], F.max_pool2d(image, 32))
    assert kept == {"identity": True, "always-convolved": False}


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
    ours = build("alexnet", 2, 224, ALEXNET)
    assert ours.features[0](torch.zeros(1, 3, 224, 224)).shape[2] == 55


def test_valid_padding_does_not_keep_13_pixels():
    x, w = torch.zeros(1, 8, 13, 13), torch.zeros(8, 8, 3, 3)
    assert [F.conv2d(x, w, padding=p).shape[2] for p in (0, 1)] == [11, 13]


def test_without_eval_an_image_is_judged_by_its_company():
    network = build("resnet", 6, 32, {"depth": 8, "shortcut": "identity", "stem": "cifar"})
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
    ours = build("vgg", 10, 32, VGG16)
    assert all(m.bias is None for m in ours.modules() if isinstance(m, nn.Conv2d))


def test_a_block_chosen_by_channels_alone_crashes_on_a_stride():
    x = torch.randn(1, 64, 8, 8)
    with pytest.raises(RuntimeError, match="must match"):
        nn.Conv2d(64, 64, 3, stride=2, padding=1)(x) + x  # equal channels, so "identity"
    from lineage.models.resnet import NORMS, Block

    assert Block(64, 64, 2, "identity", NORMS["batch"])(x).shape == (1, 64, 4, 4)


def test_a_shortcut_skips_two_convolutions_or_three():
    for depth, skipped in ((34, 2), (50, 3)):
        options = {"depth": depth, "shortcut": "projection", "stem": "imagenet"}
        blocks = [block for stage in build("resnet", 6, 64, options).stages for block in stage]
        convolutions = {sum(isinstance(m, nn.Conv2d) for m in block.main) for block in blocks}
        assert (len(blocks), convolutions) == (16, {skipped})


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
    block = params.read(REPOSITORY).datasets["cifar10"]
    archive = REPOSITORY / "data/sample" / block.sample.name
    images = archives.read(block.sample.format, [archive], block.classes, 32)[0]["images"]
    per_image = (images / 255).std((1, 2)).mean(0)
    assert per_image == pytest.approx([0.2023, 0.1994, 0.2010], abs=0.012)  # 1,400 of 60,000 images
    _, std = channel_statistics(images.transpose(0, 3, 1, 2))
    assert std == pytest.approx([0.2470, 0.2435, 0.2616], abs=0.012)
    assert (std - per_image > 0.035).all()


def test_batches_of_16_have_twice_the_noise_of_64():
    x = torch.randn(4096, 8, dtype=torch.double)
    gradients = (x @ torch.randn(8, dtype=torch.double) + torch.randn(4096))[:, None] * x  # of half the squared error
    noise = {size: gradients.view(-1, size, 8).mean(1).std(0).mean().item() for size in (16, 64)}
    assert noise[16] / noise[64] == pytest.approx(2, rel=0.2)


@pytest.mark.parametrize(("depth", "convolutions"), [(16, 13), (19, 16)])
def test_vgg16_has_13_convolutions(depth, convolutions):
    network = build("vgg", 10, 32, VGG16 | {"depth": depth})
    assert sum(isinstance(m, nn.Conv2d) for m in network.modules()) == convolutions
    assert sum(isinstance(m, nn.Linear) for m in network.modules()) == 3


def test_functional_dropout_stays_on_during_evaluation():
    class Printed(nn.Module):
        def forward(self, x):
            return F.dropout(x, 0.5)

    x = torch.ones(1000)
    assert (Printed().eval()(x) == 0).any()
    assert torch.equal(nn.Dropout(0.5).eval()(x), x)
    ours = build("alexnet", 2, 64, ALEXNET).eval()
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(ours(images), ours(images))


def test_linear_layers_without_relu_are_one_linear_layer():
    first, second = nn.Linear(20, 50, dtype=torch.double), nn.Linear(50, 3, dtype=torch.double)
    x = torch.randn(7, 20, dtype=torch.double)
    one = x @ (second.weight @ first.weight).T + second.weight @ first.bias + second.bias
    assert torch.allclose(second(first(x)), one)
    head = build("alexnet", 2, 64, ALEXNET).head
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
    assert epochs.max(1).mean() == pytest.approx(0.915, abs=0.001)


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
    assert ours[0, 2, 0, 0] == pytest.approx(
        (x[0, 2, 0, 0] / (2 + LocalResponseNorm.alpha * squares) ** 0.75).item(), rel=1e-5
    )
    assert not torch.allclose(ours, mean_and_root, rtol=0.1)


@torch.no_grad()
def test_dropout_scaled_twice_counts_twice():
    torch.manual_seed(0)
    layer, x = nn.Linear(50, 20, bias=False), torch.randn(50)
    in_training = layer(F.dropout(x.expand(20_000, 50), 0.5)).mean(0)  # dropout scales by 2 what it keeps
    assert torch.allclose(layer(x), in_training, atol=0.02)
    layer.weight *= 0.5  # once more, in testing
    assert torch.allclose(layer(x), in_training / 2, atol=0.01)
    assert in_training.abs().max() > 0.5  # there is a signal


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


@pytest.mark.parametrize(("lr", "learns"), [(0.01, False), (0.0001, True)])
def test_adam_at_a_hundredth_with_batches_of_2_diverges(signs, lr, learns):
    images = np.stack([signs["images"][signs["labels"] == digit][0] for digit in (0, 5)])
    images, labels = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1, torch.tensor([0, 1])
    network = build("alexnet", 2, 64, ALEXNET)
    adam, losses = torch.optim.Adam(network.parameters(), lr, fused=True), []
    for _ in range(32):  # not even these two images
        loss = F.cross_entropy(network(images), labels)
        losses.append(loss.item())
        adam.zero_grad()
        loss.backward()
        adam.step()
    chance, last = np.log(2), np.mean(losses[-8:])
    if learns:
        assert max(losses) < 30 and last < chance / 2
    else:
        assert max(losses) > 300 and not last < chance


@pytest.mark.slow  # with which DATA_MIRROR is set
@pytest.mark.skipif("not os.environ.get('DATA_MIRROR')", reason="no archives")
def test_the_h5_file_of_signs_has_the_same_pictures_and_other_pixels(signs):
    with h5py.File(Path(os.environ["DATA_MIRROR"], "test_signs.h5")) as file:
        images, labels = file["test_set_x"][::4].astype(np.int16), file["test_set_y"][:].ravel()[::4]
    off = np.stack([np.abs(signs["images"] - image).mean((1, 2, 3)) for image in images])  # grey levels
    assert off.min() > 1
    assert off.min(1).max() < 5 < np.median(off) / 3
    assert (signs["labels"][off.argmin(1)] == labels).all()


def test_no_picture_of_dogs_vs_cats_is_here():
    block = params.read(REPOSITORY).datasets["cats-vs-dogs"]
    archive = REPOSITORY / "data/sample" / block.sample.name
    images = archives.read(block.sample.format, [archive], block.classes, 32)[0]
    assert all(re.fullmatch(rb".+_s_\d{6}\.png", name) for name in images["names"])  # as CIFAR's are named
    others = [p.name for p in archive.parent.iterdir()]
    assert not [name for name in others if name.endswith((".jpg", ".zip")) and name != "signs.zip"]
