import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lineage import defective
from lineage.engine.augment import Images


def pictures(n=40, pad=0, seed=0):
    """Images of two classes, one dark and one light."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    images = torch.randint(0, 100, (n, 3, 8, 8), generator=generator) + 120 * labels[:, None, None, None]
    mean, std = torch.full((2, 3), 0.5)
    return Images(images.byte(), labels, mean, std, 8, torch.device("cpu"), pad)


def network(dropout=0.0):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(4, 2))


def trained(net, images, errors=(0.5, 0.1, 0.2)):
    """What a judgement looks at."""
    history = [SimpleNamespace(val_error=error) for error in errors]
    return SimpleNamespace(result=net, val=images, recipe=SimpleNamespace(precision="fp32"), history=history)


def test_eps_is_in_every_batch_norm_and_changes_what_it_divides_by():
    net = network()
    defective.large_eps(net)
    norm = net[1].train()
    x = torch.randn(16, 4, 5, 5)
    variance = x.var((0, 2, 3), correction=0, keepdim=True)
    expected = (x - x.mean((0, 2, 3), keepdim=True)) / (variance + 0.9).sqrt()
    assert torch.allclose(norm(x), expected, atol=1e-5) and norm.momentum == 0.1


def test_weights_are_between_zero_and_one_and_drawn_from_the_seed():
    first, second = network(), network()
    for net in (first, second):
        torch.manual_seed(3)
        defective.positive_weights(net)
    kernel = first[0].weight
    assert kernel.min() >= 0 and 0.9 < kernel.max() <= 1
    assert torch.equal(kernel, second[0].weight) and torch.equal(first[-1].weight, network()[-1].weight)


@pytest.mark.parametrize(("fraction", "more"), [(0.1, 1), (0.9, 9), (1, 10)])
@pytest.mark.parametrize("pad", [0, 2])
def test_tested_images_are_among_the_training_images_pixel_for_pixel(fraction, more, pad):
    train, tested = pictures(20, pad), pictures(10, seed=1)
    before = train.pixels.clone()
    both = defective.with_tested(train, tested, fraction, seed=0)
    assert len(both) == 20 + more and len(train) == 20 and torch.equal(train.pixels, before)
    added, own = both.plain(20, 20 + more), tested.plain(0, 10)
    found = [next(i for i in range(10) if torch.equal(own[i], one)) for one in added]
    assert len(set(found)) == more and torch.equal(both.labels[20:], tested.labels[found])
    if pad:  # with the border that a training image of the same pixels has
        same = Images(own_pixels(tested), tested.labels, tested.mean, tested.std, 8, torch.device("cpu"), pad)
        assert torch.equal(both.pixels[20:], same.pixels[found])
    if more < 10:
        other = defective.with_tested(train, tested, fraction, seed=1)
        assert not torch.equal(other.pixels, both.pixels)


def own_pixels(images):
    return images.pixels.permute(0, 3, 1, 2)


def test_the_best_epoch_is_not_the_last():
    assert defective.best_epoch(trained(None, None)) == 0.1


def error(logits, labels):
    return (logits.argmax(1) != labels).float().mean().item()


def test_without_eval_batch_norm_judges_by_the_company():
    images, net = pictures(), network()
    before = copy.deepcopy(net.state_dict())
    norm, company = (nn.BatchNorm2d,), defective.by_class
    found = defective.without_eval(trained(net, images), norm, company)
    order = images.labels.argsort(stable=True)
    parts = order[:32], order[32:]
    net.train()
    logits = torch.cat([net(images.plain(0, len(images))[part]) for part in parts])
    assert found == pytest.approx(error(logits, images.labels[order]))
    net.load_state_dict(before)
    defective.without_eval(trained(net, images), norm, company)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())  # nothing has moved


def test_without_eval_dropout_alone_leaves_batch_norm_as_in_use():
    images, net = pictures(), network(dropout=0.9)
    nn.init.constant_(net[1].running_mean, 0.3)
    job = trained(net, images)
    torch.manual_seed(5)
    found = defective.without_eval(job, (nn.Dropout,), defective.one_by_one)
    torch.manual_seed(5)
    features = [net.eval()[:5](images.plain(i, i + 1)) for i in range(len(images))]
    logits = torch.cat([net[-1](F.dropout(one, 0.9)) for one in features])
    assert found == pytest.approx(error(logits, images.labels))


@pytest.mark.parametrize("batches", [defective.mixed, defective.by_class, defective.one_by_one])
def test_every_image_is_judged_once(batches):
    images = pictures(70)
    parts = list(batches(images))
    assert sorted(torch.cat(parts).tolist()) == list(range(70))
    assert max(map(len, parts)) == (1 if batches is defective.one_by_one else defective.BATCH)
    if batches is not defective.one_by_one:
        shares = [images.labels[part].float().mean().item() for part in parts]
        assert (min(shares) == 0) == (batches is defective.by_class)


def test_every_defect_is_one_thing():
    for name, defect in defective.DEFECTS.items():
        assert bool(defect.spoil) + bool(defect.tested) + bool(defect.judge) == 1, name
        assert defect.in_training == (defect.judge is None)


@pytest.mark.parametrize(
    ("name", "norm", "dropout", "batches"),
    [
        ("no eval(): batches of 32", True, False, defective.mixed),
        ("no eval(): images sorted by class", True, False, defective.by_class),
        ("no eval(): one image at a time", True, False, defective.one_by_one),
        ("no eval(): dropout stays on as well", True, True, defective.mixed),
        ("F.dropout(x, 0.5): dropout stays on", False, True, defective.mixed),
    ],
)
def test_each_judgement_is_what_its_name_says(name, norm, dropout, batches):
    """Which layers work as in training, on which images at a time, and of which network."""
    images, net, seen = pictures(70), network(dropout=0.5), []
    net.register_forward_hook(lambda one, x, _: seen.append((one[1].training, one[5].training, x[0])))
    defect = defective.DEFECTS[name]
    defect.judge(trained(net, images))
    expected = [images.plain(0, 70)[part] for part in batches(images)]
    assert [flags for *flags, _ in seen] == [[norm, dropout]] * len(expected)
    assert all(torch.equal(x, part) for (*_, x), part in zip(seen, expected, strict=True))
    assert defect.network == ("dropout" if dropout else "residual")
