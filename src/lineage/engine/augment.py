"""From stored images to what a network sees: gathered, shifted, flipped, normalised, turned, cut out, mixed (CutMix)
and enlarged a batch at a time, on the device.

Everything random in an epoch is drawn at its start from a CPU generator that depends on the seed and the epoch alone,
so that it is the same on every device and needs no state to go on from.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lineage.engine import tensors
from lineage.engine.experiment import Experiment
from lineage.engine.recipe import Recipe

# what `scaling` subtracts and divides by, where that is not the training split's mean and standard deviation
SCALINGS = {"symmetric": (0.5, 0.5), "unit": (0.0, 1.0)}
LAYOUTS = {"NHWC": torch.channels_last, "NCHW": torch.contiguous_format}


class Plan(NamedTuple):
    """One epoch's random choices: the order of the images, and for each image what happens to it."""

    order: Tensor  # N: positions
    shift: Tensor  # N×2: first row and column of the crop from the padded image
    flip: Tensor  # N: whether it is mirrored
    hole: Tensor  # N×2: where the square that is cut out has its centre, as fractions of height and width
    turn: Tensor | None  # N×2×3: rotation and zoom, where the recipe has them
    patch: Tensor | None  # N×4: first and last row, first and last column of what CutMix replaces, as fractions

    def to(self, device: torch.device) -> "Plan":
        return Plan(*(None if choice is None else choice.to(device) for choice in self))


class Batch(NamedTuple):
    """What a step trains on. Where CutMix is in the recipe, a part of each image comes from another one."""

    images: Tensor  # B×3×S×S, normalised
    labels: Tensor  # B
    others: Tensor | None  # B: the labels of what the patches come from
    share: Tensor | None  # B: of the image's own pixels, from 0 to 1


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of all that is random in that epoch; epochs count from 1."""
    return seed * 1_000_003 + epoch


def plan(recipe: Recipe, images: int, seed: int, epoch: int) -> Plan:
    """Draw the choices of one epoch over so many images."""
    generator = torch.Generator().manual_seed(epoch_seed(seed, epoch))
    order = torch.randperm(images, generator=generator)
    corner = torch.randint(0, 2 * recipe.shift + 1, (images, 2), generator=generator)
    coin = torch.randint(0, 2 if recipe.flip else 1, (images,), generator=generator)
    turn, patch = None, None
    if recipe.rotate or recipe.zoom:
        angle, scale = torch.rand(2, images, generator=generator) * 2 - 1
        angle, scale = angle * math.radians(recipe.rotate), 1 + scale * recipe.zoom
        rows = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1)
        turn = torch.cat([rows.view(-1, 2, 2) / scale.view(-1, 1, 1), torch.zeros(images, 2, 1)], 2)
    hole = torch.rand(images, 2, generator=generator)
    if recipe.cutmix:
        chance = recipe.mixes_in(epoch, recipe.epochs_of(images))
        patch = torch.empty(images, 4)
        patch[order] = _patches(images, recipe.batch_size, chance, generator)
    return Plan(order, corner, coin, hole, turn, patch)


def _patches(images: int, batch_size: int, chance: float, generator: torch.Generator) -> Tensor:
    """N×4 edges in the order of the epoch, one patch for each batch (Yun et al. 2019, section 3.1): its share of the
    image is uniform, its centre too, and what lies outside of the image is lost. A batch without one has edges of 0.
    """
    batches = math.ceil(images / batch_size)
    mixed, share = torch.rand(2, batches, generator=generator)
    centre, half = torch.rand(batches, 2, generator=generator), share.sqrt()[:, None] / 2
    first, last = (centre - half).clamp(0, 1), (centre + half).clamp(0, 1)  # batches×2: row and column
    edges = torch.stack([first[:, 0], last[:, 0], first[:, 1], last[:, 1]], 1)
    edges = edges * (mixed < chance)[:, None]
    return edges.repeat_interleave(batch_size, 0)[:images]


class Images:
    """The images of one split on the device, as one uint8 tensor N×H×W×3 with a reflected border of `pad` pixels, and
    their labels (N, int64).
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        mean: Tensor,
        std: Tensor,
        input_size: int,
        device: torch.device,
        pad: int = 0,
        layout: str = "NHWC",
    ) -> None:
        """`images` are N×3×S×S, uint8; larger than `input_size` they are shrunk once, smaller ones enlarged batch by
        batch. Batches come in `layout`.
        """
        if input_size < images.shape[2]:
            images = shrink(images, input_size)
        if pad:
            images = torch.cat([F.pad(part.float(), (pad,) * 4, mode="reflect").byte() for part in images.split(1024)])
        self.size, self.pad, self.input_size = images.shape[2] - 2 * pad, pad, input_size
        self.layout = LAYOUTS[layout]
        self.pixels = images.permute(0, 2, 3, 1).contiguous().to(device)  # N × S+2·pad × S+2·pad × 3
        self.labels = labels.to(device)
        self.mean, self.std = mean.float().to(device), std.float().to(device)

    def batch(self, which: Tensor, choices: Plan, cutout: int = 0) -> Batch:
        """The images at the positions `which` (B), augmented and normalised, and their labels. `cutout` in pixels."""
        line = torch.arange(self.size, device=which.device)
        rows = choices.shift[which, 0, None] + line  # B×S
        mirrored = torch.where(choices.flip[which, None] > 0, self.size - 1 - line, line)
        columns = choices.shift[which, 1, None] + mirrored
        x = self.pixels[which[:, None, None], rows[:, :, None], columns[:, None, :]]  # B×S×S×3: crop and flip at once
        x = self.normalise(x)
        if choices.turn is not None:
            grid = F.affine_grid(choices.turn[which], list(x.shape), align_corners=False)
            x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
        if cutout:
            centre = (choices.hole[which] * self.size).long()  # B×2
            far = (line - centre[:, :, None]).abs() * 2 >= cutout  # B×2×S
            # 0 where neither is far: the mean, if `scaling` is standard
            x = x * (far[:, 0, None, :, None] | far[:, 1, None, None, :])
        labels, others, share = self.labels[which], None, None
        if choices.patch is not None:
            first_row, last_row, first_column, last_column = (choices.patch[which] * self.size).round().unbind(1)
            inside_rows = (line >= first_row[:, None]) & (line < last_row[:, None])  # B×S
            inside_columns = (line >= first_column[:, None]) & (line < last_column[:, None])
            inside = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]  # B×1×S×S
            x = torch.where(inside, x.roll(1, 0), x)  # the order is random: any neighbour will do
            others, share = labels.roll(1), 1 - inside.float().mean((1, 2, 3))
        return Batch(self.enlarge(x), labels, others, share)

    def plain(self, start: int, stop: int) -> Tensor:
        """The images from `start` to `stop` without augmentation."""
        inner = slice(self.pad, self.pad + self.size)
        return self.enlarge(self.normalise(self.pixels[start:stop, inner, inner]))

    def normalise(self, x: Tensor) -> Tensor:
        return ((x.float() / 255 - self.mean) / self.std).permute(0, 3, 1, 2)  # channels last already

    def enlarge(self, x: Tensor) -> Tensor:
        if self.size < self.input_size:
            # a channel at a time, which a CPU does three times as fast as three channels pixel by pixel
            # F.interpolate would take it apart on CUDA, for the sake of a backward pass that nobody needs
            x = torch.ops.aten.upsample_bilinear2d(x.contiguous(), [self.input_size] * 2, False)
        return x.contiguous(memory_format=self.layout)

    def __len__(self) -> int:
        return len(self.pixels)


def load(experiment: Experiment, parts: Iterable[str], device: torch.device, pad: int = 0) -> dict[str, Images]:
    """Splits of an experiment's data set as its network sees them; `pad` is the training split's border. Raises
    `Mistake`.
    """
    recipe = experiment.recipe
    arrays = {part: tensors.load(experiment.dataset, part, experiment.max_images) for part in {"train", *parts}}
    mean, std = (torch.from_numpy(arrays["train"][key]) for key in ("mean", "std"))
    if recipe.scaling in SCALINGS:
        mean, std = (torch.full_like(mean, value) for value in SCALINGS[recipe.scaling])
    return {
        part: Images(
            torch.from_numpy(arrays[part]["images"]),
            torch.from_numpy(arrays[part]["labels"]),
            mean,
            std,
            recipe.input_size,
            device,
            pad if part == "train" else 0,
            recipe.layout,
        )
        for part in parts
    }


def shrink(images: Tensor, size: int) -> Tensor:
    """N×3×H×W uint8 images averaged down to N×3×size×size."""
    parts = (F.interpolate(part.float(), (size, size), mode="area") for part in images.split(1024))
    return torch.cat([part.round().byte() for part in parts])
