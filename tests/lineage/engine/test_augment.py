from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lineage.engine import augment, tensors
from lineage.engine.augment import Images, Plan
from lineage.engine.experiment import Experiment
from lineage.engine.recipe import Recipe
from lineage.errors import Mistake
from lineage.parts import channel_statistics

MEAN, STD = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.3, 0.25])
LABELS = torch.arange(6)


def recipe(**options):
    values = {"epochs": 10, "batch_size": 4, "lr": 1, "schedule": "constant", "input_size": 8}
    return Recipe(**values | options)


def drawn(images, seed=0, epoch=1, **options):
    return augment.plan(recipe(**options), images, seed, epoch)


def pictures(n=6, size=8):
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def normalised(x):
    return (x.float() / 255 - MEAN.view(3, 1, 1)) / STD.view(3, 1, 1)


def test_a_plan_is_a_function_of_seed_and_epoch():
    options = {"shift": 3, "flip": True, "rotate": 10, "zoom": 0.1, "cutmix": 0.9}
    torch.manual_seed(1)
    first = drawn(50, 0, 1, **options)
    torch.manual_seed(2)
    assert all(torch.equal(a, b) for a, b in zip(first, drawn(50, 0, 1, **options), strict=True))
    for other in (drawn(50, 0, 2, **options), drawn(50, 1, 1, **options)):
        assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_plan_stays_within_its_bounds():
    plan = drawn(5000, shift=3, flip=True, rotate=15, zoom=0.2)
    assert sorted(plan.order.tolist()) == list(range(5000))
    assert plan.shift.unique().tolist() == list(range(7))
    assert plan.flip.unique().tolist() == [0, 1]
    scale = plan.turn[:, :, :2].det().rsqrt()  # the matrix maps outputs to inputs
    assert 0.8 <= scale.min() < 0.82
    assert 1.18 < scale.max() <= 1.2
    angle = torch.atan2(plan.turn[:, 1, 0], plan.turn[:, 0, 0]).rad2deg()
    assert -15.001 < angle.min() < -14.9 and 14.9 < angle.max() < 15.001
    still = drawn(100)
    assert still.shift.any() == still.flip.any() == False  # noqa: E712
    assert still.turn is still.patch is None


def test_the_gather_equals_the_naive_loop():
    pixels, pad = pictures(), 3
    images = Images(pixels, LABELS, MEAN, STD, 8, torch.device("cpu"), pad)
    plan = drawn(6, shift=pad, flip=True)
    which = plan.order[:5]
    batch, labels, *_ = images.batch(which, plan)
    assert labels.tolist() == which.tolist()
    padded = F.pad(pixels.float(), (pad,) * 4, mode="reflect")
    for x, i in zip(batch, which.tolist(), strict=True):
        row, column = plan.shift[i].tolist()
        naive = padded[i, :, row : row + 8, column : column + 8]
        naive = naive.flip(2) if plan.flip[i] else naive
        assert torch.allclose(x, normalised(naive), atol=1e-6)
    assert batch.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("cutout", "side"), [(5, 5), (4, 3), (1, 1)])  # around a pixel: an even side is one less
def test_cutout_leaves_a_square_of_the_mean(cutout, side):
    images = Images(pictures(), LABELS, MEAN, STD, 8, torch.device("cpu"))
    plan = drawn(6)
    order = torch.arange(6)
    whole, cut = images.batch(order, plan).images, images.batch(order, plan, cutout=cutout).images
    row, column = torch.arange(8)[:, None], torch.arange(8)[None]
    for x, y, (down, right) in zip(whole, cut, (plan.hole * 8).long().tolist(), strict=True):
        hole = ((row - down).abs() <= side // 2) & ((column - right).abs() <= side // 2)
        assert torch.equal(y, x.masked_fill(hole, 0))
    assert cut.is_contiguous(memory_format=torch.channels_last)


def test_cutout_reaches_every_part_of_an_image():
    hole = drawn(400).hole
    assert hole.shape == (400, 2) and 0 <= hole.min() < 0.02 and 0.98 < hole.max() < 1
    assert ((hole < 0.5).float().mean(0) - 0.5).abs().max() < 0.1


def stored(scaling):
    """An experiment whose training split is brighter than what is usual."""
    pixels = (pictures(40) // 2 + 120).numpy()
    mean, std = channel_statistics(pixels)
    arrays = {"images": pixels, "labels": np.arange(40) % 4, "mean": mean, "std": std}
    tensors.save(Path("data/tensors/bright/train.safetensors"), arrays, list("abcd"))
    arrays = {"images": pixels[::2], "labels": np.arange(40)[::2] % 4}
    tensors.save(Path("data/tensors/bright/val.safetensors"), arrays, list("abcd"))
    about = {"name": "mine", "scale": "full", "dataset": "bright", "classes": 4, "model": "resnet"}
    return Experiment(**about, network={"depth": 8, "shortcut": "none"}, recipe=recipe(scaling=scaling))


@pytest.mark.parametrize(("scaling", "low", "high"), [("unit", 0, 1), ("symmetric", -1, 1), ("standard", -2, 2)])
def test_scaling(workspace, scaling, low, high):
    parts = augment.load(stored(scaling), ("train", "val"), torch.device("cpu"), pad=2)
    assert {name: (len(part), part.pad) for name, part in parts.items()} == {"train": (40, 2), "val": (20, 0)}
    assert parts["val"].labels.tolist() == [0, 2] * 10
    x = parts["train"].plain(0, 40)
    stored_pixels = parts["train"].pixels[:, 2:-2, 2:-2].permute(0, 3, 1, 2) / 255
    if scaling == "standard":
        assert x.mean((0, 2, 3)).abs().max() < 1e-5
        assert x.std((0, 2, 3)).numpy() == pytest.approx(1, abs=1e-3)
    else:
        assert torch.allclose(x, low + (high - low) * stored_pixels, atol=1e-6)


def test_a_part_that_is_missing(workspace):
    experiment = stored("unit")
    with pytest.raises(Mistake, match="preprocess@bright"):
        augment.load(experiment, ("test",), torch.device("cpu"))


def test_plain_images_have_no_border():
    pixels = pictures()
    images = Images(pixels, LABELS, MEAN, STD, 8, torch.device("cpu"), pad=2)
    assert len(images) == 6
    assert torch.allclose(images.plain(1, 4), normalised(pixels[1:4]), atol=1e-6)


def test_a_quarter_turn_turns_the_picture():
    images = Images(pictures(), LABELS, MEAN, STD, 8, torch.device("cpu"))
    none = torch.zeros(6, 2, dtype=torch.long)
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0]]).expand(6, 2, 3)
    turned = images.batch(torch.arange(6), Plan(torch.arange(6), none, none[:, 0], none, quarter, None)).images
    assert torch.allclose(turned, images.plain(0, 6).rot90(1, (2, 3)), atol=1e-5)


def test_what_lies_outside_of_a_picture_continues_it():
    images = Images(torch.full((1, 3, 8, 8), 255).byte(), LABELS[:1], MEAN, STD, 8, torch.device("cpu"))
    none, smaller = torch.zeros(1, 2, dtype=torch.long), torch.tensor([[[1.5, 0, 0], [0, 1.5, 0]]])
    plan = Plan(torch.tensor([0]), none, none[:, 0], none, smaller, None)
    assert torch.allclose(images.batch(torch.tensor([0]), plan).images, images.plain(0, 1), atol=1e-5)


@pytest.mark.parametrize("size", [4, 8, 16])
@pytest.mark.parametrize("layout", augment.LAYOUTS)
def test_input_size_and_layout(size, layout):
    pixels = pictures()
    images = Images(pixels, LABELS, MEAN, STD, size, torch.device("cpu"), 1, layout)
    plan = drawn(6, shift=1, rotate=5)
    for batch in images.batch(plan.order, plan).images, images.plain(0, 6):
        assert batch.shape == (6, 3, size, size)
        assert batch.is_contiguous(memory_format=augment.LAYOUTS[layout])
    if size == 4:
        means = pixels.view(6, 3, 4, 2, 4, 2).float().mean((3, 5))
        assert (images.plain(0, 6) - normalised(means)).abs().max() < 0.5 / 255 / 0.2 + 1e-6
    if size == 16:
        expected = F.interpolate(normalised(pixels), 16, mode="bilinear", align_corners=False)
        assert torch.allclose(images.plain(0, 6), expected, atol=1e-5)


def test_cutmix_takes_a_rectangle_from_the_next_image_of_the_batch():
    images = Images(pictures(), LABELS, MEAN, STD, 8, torch.device("cpu"))
    plan = drawn(6, cutmix=1.0, batch_size=6)
    whole, mixed = images.batch(plan.order, plan._replace(patch=None)), images.batch(plan.order, plan)
    top, bottom, left, right = (plan.patch[plan.order[0]] * 8).round().long().tolist()
    assert top < bottom and left < right
    expected = whole.images.clone()
    expected[:, :, top:bottom, left:right] = whole.images.roll(1, 0)[:, :, top:bottom, left:right]
    assert torch.equal(mixed.images, expected)
    assert mixed.labels.tolist() == plan.order.tolist()
    assert mixed.others.tolist() == plan.order.roll(1).tolist()
    share = 1 - (bottom - top) * (right - left) / 64
    assert torch.allclose(mixed.share, torch.full((6,), share))
    assert mixed.images.is_contiguous(memory_format=torch.channels_last)


def test_cutmix_mixes_so_many_batches_and_any_share_of_them():
    plan = drawn(40_000, cutmix=0.5)
    edges = plan.patch[plan.order].view(-1, 4, 4)  # batches × images × edges
    assert (edges == edges[:, :1]).all()
    area = (edges[:, 0, 1] - edges[:, 0, 0]) * (edges[:, 0, 3] - edges[:, 0, 2])
    assert 0.48 < (area > 0).float().mean() < 0.52
    assert edges.min() >= 0 and edges.max() <= 1
    assert area.max() > 0.9
    # uniform from 0 to 1, less what the border cuts off
    assert 0.25 < area[area > 0].mean() < 0.4
    assert not drawn(400, epoch=9, cutmix=1.0, cutmix_off=0.2).patch.any()
    assert drawn(400, epoch=8, cutmix=1.0, cutmix_off=0.2).patch.any()


def test_a_zoom_is_bilinear_and_about_the_middle():
    images = Images(pictures(), LABELS, MEAN, STD, 8, torch.device("cpu"))
    none = torch.zeros(6, 2, dtype=torch.long)
    twice = torch.tensor([[0.5, 0, 0], [0, 0.5, 0]]).expand(6, 2, 3)
    larger = images.batch(torch.arange(6), Plan(torch.arange(6), none, none[:, 0], none, twice, None)).images
    expected = F.interpolate(images.plain(0, 6), 16, mode="bilinear", align_corners=False)[:, :, 4:12, 4:12]
    assert torch.allclose(larger, expected, atol=1e-5)
