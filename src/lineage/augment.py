"""From stored images to what a network sees: gathered, shifted, flipped, turned, normalised and enlarged a batch at a
time, on the device.

Everything random in an epoch is drawn at its start from a CPU generator that depends on the seed and the epoch alone,
so that it is the same on every device and needs no state to go on from.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Plan:
    """One epoch's random choices: the order of the images, and for each image what happens to it."""

    order: Tensor  # N: positions
    shift: Tensor  # N×2: first row and column of the crop from the padded image
    flip: Tensor  # N: whether it is mirrored
    turn: Tensor | None  # N×2×3: rotation and zoom, where the recipe has them


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of all that is random in that epoch; epochs count from 1."""
    return seed * 1_000_003 + epoch


def plan(seed: int, epoch: int, images: int, shift: int, flip: bool, rotate: float, zoom: float) -> Plan:
    """Draw an epoch's choices. `shift` in pixels and `rotate` in degrees to either side, `zoom` as a fraction."""
    generator = torch.Generator().manual_seed(epoch_seed(seed, epoch))
    order = torch.randperm(images, generator=generator)
    corner = torch.randint(0, 2 * shift + 1, (images, 2), generator=generator)
    coin = torch.randint(0, 2 if flip else 1, (images,), generator=generator)
    turn = None
    if rotate or zoom:
        angle, scale = torch.rand(2, images, generator=generator) * 2 - 1
        angle, scale = angle * math.radians(rotate), 1 + scale * zoom
        rows = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2) / scale.view(
            -1, 1, 1
        )
        turn = torch.cat([rows, torch.zeros(images, 2, 1)], 2)
    return Plan(order, corner, coin, turn)


class Images:
    """The images of one part on the device, as one uint8 tensor N×H×W×3 with a reflected border of `pad` pixels."""

    def __init__(
        self, images: Tensor, mean: Tensor, std: Tensor, input_size: int, device: torch.device, pad: int = 0
    ) -> None:
        """`images` are N×3×S×S, uint8; larger than `input_size` they are shrunk once, smaller ones enlarged batch by
        batch.
        """
        if input_size < images.shape[2]:
            images = shrink(images, input_size)
        if pad:
            images = torch.cat([F.pad(part.float(), (pad,) * 4, mode="reflect").byte() for part in images.split(1024)])
        self.size, self.pad, self.input_size = images.shape[2] - 2 * pad, pad, input_size
        self.pixels = images.permute(0, 2, 3, 1).contiguous().to(device)  # N × S+2·pad × S+2·pad × 3
        self.mean, self.std = mean.float().to(device), std.float().to(device)

    def batch(self, which: Tensor, shift: Tensor, flip: Tensor, turn: Tensor | None) -> Tensor:
        """The images at the positions `which` (B), augmented and normalised: B×3×input_size×input_size, channels
        last.
        """
        line = torch.arange(self.size, device=which.device)
        rows = shift[which, 0, None] + line  # B×S
        columns = shift[which, 1, None] + torch.where(flip[which, None] > 0, self.size - 1 - line, line)
        x = self.pixels[which[:, None, None], rows[:, :, None], columns[:, None, :]]  # B×S×S×3: crop and flip at once
        x = self.normalise(x)
        if turn is not None:
            grid = F.affine_grid(turn[which], list(x.shape), align_corners=False)
            x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
        return self.enlarge(x)

    def plain(self, start: int, stop: int) -> Tensor:
        """The images from `start` to `stop` without augmentation."""
        inner = slice(self.pad, self.pad + self.size)
        return self.enlarge(self.normalise(self.pixels[start:stop, inner, inner]))

    def normalise(self, x: Tensor) -> Tensor:
        return ((x.float() / 255 - self.mean) / self.std).permute(0, 3, 1, 2)  # channels last already

    def enlarge(self, x: Tensor) -> Tensor:
        if self.size == self.input_size:
            return x
        size = (self.input_size, self.input_size)
        return F.interpolate(x, size, mode="bilinear", align_corners=False)

    def __len__(self) -> int:
        return len(self.pixels)


def shrink(images: Tensor, size: int) -> Tensor:
    """N×3×H×W uint8 images averaged down to N×3×size×size."""
    parts = (F.interpolate(part.float(), (size, size), mode="area") for part in images.split(1024))
    return torch.cat([part.round().byte() for part in parts])
