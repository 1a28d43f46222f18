import pytest
import torch
from torch import nn

from lineage import training
from lineage.augment import Images
from lineage.errors import Failure
from lineage.recipe import Recipe

BASE = {"epochs": 10, "batch_size": 8, "lr": 0.02, "schedule": "onecycle", "input_size": 8, "threads": 1}


@pytest.fixture(autouse=True)
def deterministic():
    training.prepare(torch.device("cpu"), 1)
    yield
    torch.use_deterministic_algorithms(False)


def rates(schedule, steps, warm_up=0.25):
    return [training.learning_rate(schedule, 0.1, warm_up, step, steps) for step in range(steps)]


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 100, 450])
def test_onecycle_reaches_its_peak_exactly_and_ends_low(steps):
    lr = rates("onecycle", steps)
    assert max(lr) == 0.1
    assert min(lr) > 0
    top = lr.index(0.1)
    assert lr[: top + 1] == sorted(lr[: top + 1])
    assert lr[top:] == sorted(lr[top:], reverse=True)
    if steps >= 100:
        assert lr[-1] < 0.002
        assert top == round(steps / 4) - 1


def test_steps_fall_where_the_paper_says():
    lr = rates("steps", 64000)
    assert (lr[31_999], lr[32_000], lr[47_999], lr[48_000]) == pytest.approx((0.1, 0.01, 0.01, 0.001))


def task(n=64):
    """Four classes that differ in colour: anything learns them."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 4
    colour = torch.tensor([[200, 30, 30], [30, 200, 30], [30, 30, 200], [200, 200, 30]])[labels]
    noise = torch.randint(0, 50, (n, 3, 8, 8), generator=generator)
    return (colour[:, :, None, None] + noise).byte(), labels


def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.1), nn.Linear(288, 4)
    return nn.Sequential(*layers)


def fit(net, recipe, seed=0):
    pixels, labels = task()
    images = Images(pixels, torch.full((3,), 0.4), torch.full((3,), 0.3), 8, torch.device("cpu"), recipe.shift)
    val = Images(pixels, torch.full((3,), 0.4), torch.full((3,), 0.3), 8, torch.device("cpu"))
    return list(training.fit(net, images, labels, val, labels, recipe, seed))


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_it_learns_and_says_so(precision):
    history = fit(network(), Recipe(**BASE, precision=precision, shift=1, flip=True))
    assert [line.epoch for line in history] == list(range(1, 11))
    assert history[-1].val_error == 0
    assert history[-1].train_loss < history[0].train_loss
    assert max(line.lr for line in history) == 0.02


def test_iterations_may_end_within_an_epoch():
    history = fit(network(), Recipe(**{**BASE, "epochs": None, "iterations": 20}))
    assert [line.epoch for line in history] == [1, 2, 3]


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    def weights(seed):
        net = network()
        fit(net, Recipe(**BASE, shift=1, rotate=5), seed)
        return torch.cat([p.detach().ravel() for p in net.parameters()])

    torch.manual_seed(99)
    first = weights(0)
    torch.manual_seed(123)
    assert torch.equal(first, weights(0))
    assert not torch.equal(first, weights(1))


def test_weight_decay_spares_biases_and_batch_norm():
    net = network()
    with torch.no_grad():
        for p in net.parameters():
            p.fill_(1e-3 if p.ndim > 1 else 1.0)
    before = [p.detach().clone() for p in net.parameters()]
    # a rate so small that gradients do nothing beside a weight decay so large
    fit(net, Recipe(**{**BASE, "lr": 1e-7, "epochs": 1}, weight_decay=1e5))
    for old, new in zip(before, net.parameters(), strict=True):
        ratio = (new / old).mean().item()
        assert ratio < 0.95 if new.ndim > 1 else ratio == pytest.approx(1, abs=1e-4)


def test_a_loss_that_is_not_finite_names_epoch_and_rate():
    net = network()
    with torch.no_grad():
        net[0].weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(Failure, match=r"seed 3: the loss is not finite in epoch 1 at lr 0"):
        fit(net, Recipe(**BASE), seed=3)


def test_fewer_images_than_a_batch():
    assert len(fit(network(), Recipe(**{**BASE, "batch_size": 1000}))) == 10


def test_prediction_does_not_depend_on_the_batch():
    pixels, _ = task()
    images = Images(pixels, torch.full((3,), 0.4), torch.full((3,), 0.3), 8, torch.device("cpu"))
    net = network()
    whole = training.predict(net, images, "fp32", batch_size=64)
    assert whole.shape == (64, 4)
    assert torch.allclose(whole, training.predict(net, images, "fp32", batch_size=7), atol=1e-5)
    assert not net.training
