import pytest
import torch
from torch.nn import functional as F

from lineage import augment
from lineage.augment import Images

MEAN, STD = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.3, 0.25])


def pictures(n=6, size=8):
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def normalised(x):
    return (x.float() / 255 - MEAN.view(3, 1, 1)) / STD.view(3, 1, 1)


def test_a_plan_is_a_function_of_seed_and_epoch():
    def drawn(seed, epoch):
        plan = augment.plan(seed, epoch, 50, shift=3, flip=True, rotate=10, zoom=0.1)
        return [plan.order, plan.shift, plan.flip, plan.turn]

    torch.manual_seed(1)
    first = drawn(0, 1)
    torch.manual_seed(2)
    assert all(torch.equal(a, b) for a, b in zip(first, drawn(0, 1), strict=True))
    for other in (drawn(0, 2), drawn(1, 1)):
        assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_plan_stays_within_its_bounds():
    plan = augment.plan(0, 1, 5000, shift=3, flip=True, rotate=15, zoom=0.2)
    assert sorted(plan.order.tolist()) == list(range(5000))
    assert plan.shift.unique().tolist() == list(range(7))
    assert plan.flip.unique().tolist() == [0, 1]
    scale = plan.turn[:, :, :2].det().rsqrt()  # the matrix maps outputs to inputs
    assert 0.8 <= scale.min() < 0.82
    assert 1.18 < scale.max() <= 1.2
    still = augment.plan(0, 1, 100, shift=0, flip=False, rotate=0, zoom=0)
    assert still.shift.any() == still.flip.any() == False  # noqa: E712
    assert still.turn is None


def test_the_gather_equals_the_naive_loop():
    pixels, pad = pictures(), 3
    images = Images(pixels, MEAN, STD, 8, torch.device("cpu"), pad)
    plan = augment.plan(0, 1, 6, pad, flip=True, rotate=0, zoom=0)
    which = plan.order[:5]
    batch = images.batch(which, plan.shift, plan.flip, None)
    padded = F.pad(pixels.float(), (pad,) * 4, mode="reflect")
    for x, i in zip(batch, which.tolist(), strict=True):
        row, column = plan.shift[i].tolist()
        naive = padded[i, :, row : row + 8, column : column + 8]
        naive = naive.flip(2) if plan.flip[i] else naive
        assert torch.allclose(x, normalised(naive), atol=1e-6)
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_plain_images_have_no_border():
    pixels = pictures()
    images = Images(pixels, MEAN, STD, 8, torch.device("cpu"), pad=2)
    assert len(images) == 6
    assert torch.allclose(images.plain(1, 4), normalised(pixels[1:4]), atol=1e-6)


def test_a_quarter_turn_turns_the_picture():
    images = Images(pictures(), MEAN, STD, 8, torch.device("cpu"))
    none = torch.zeros(6, 2, dtype=torch.long)
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0]]).expand(6, 2, 3)
    turned = images.batch(torch.arange(6), none, none[:, 0], quarter)
    assert torch.allclose(turned, images.plain(0, 6).rot90(1, (2, 3)), atol=1e-5)


@pytest.mark.parametrize("size", [4, 8, 16])
def test_input_size(size):
    pixels = pictures()
    images = Images(pixels, MEAN, STD, size, torch.device("cpu"), pad=1)
    plan = augment.plan(0, 1, 6, 1, flip=False, rotate=5, zoom=0)
    assert images.batch(plan.order, plan.shift, plan.flip, plan.turn).shape == (6, 3, size, size)
    assert images.plain(0, 6).shape == (6, 3, size, size)
    if size == 4:
        means = pixels.view(6, 3, 4, 2, 4, 2).float().mean((3, 5))
        assert (images.plain(0, 6) - normalised(means)).abs().max() < 0.5 / 255 / 0.2 + 1e-6
