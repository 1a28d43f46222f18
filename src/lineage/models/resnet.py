"""Residual networks and their plain counterparts (He et al. 2015, "Deep residual learning for image recognition").

One definition for all: a plain network is a residual one without its shortcuts. Depth 18, 34 and 50 have the stages of
Table 1 (four, 64 to 512 channels; 50 with bottlenecks) and are its networks with the stem `imagenet`; every other depth
6n+2 is one of section 4.2 (three stages, 16 to 64 channels). 50 is of the form 6n+2 too, and means that of Table 1.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lineage.options.resnet import Options

# Table 1: blocks per stage
FOUR_STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


class Norm(NamedTuple):
    """Batch norm, or nothing in its place."""

    layer: type[nn.Module]
    bias: bool  # whether convolutions need one of their own: batch norm has one


NORMS = {"batch": Norm(nn.BatchNorm2d, False), "none": Norm(nn.Identity, True)}


def conv(channels_in: int, channels_out: int, kernel: int, stride: int, norm: Norm) -> tuple[nn.Conv2d, nn.Module]:
    """A convolution that keeps height and width at stride 1, and what normalises its output."""
    layer = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=norm.bias)
    return layer, norm.layer(channels_out)


class ZeroPad(nn.Module):
    """Shortcut A: every `stride`-th pixel, and channels of zeros where the block has more of them. No parameters."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.stride, self.missing = stride, channels_out - channels_in

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.missing // 2, self.missing - self.missing // 2))


class Block(nn.Module):
    """Figure 2: relu(F(x) + shortcut(x)), F two 3×3 convolutions (or a bottleneck); without a shortcut relu(F(x))."""

    expansion = 1

    def __init__(self, channels_in: int, channels: int, stride: int, shortcut: str, norm: Norm) -> None:
        super().__init__()
        self.main = self.residual_function(channels_in, channels, stride, norm)
        out = channels * self.expansion
        if shortcut == "none":
            self.shortcut = None
        elif stride == 1 and channels_in == out:
            self.shortcut = nn.Identity()
        elif shortcut == "identity":
            self.shortcut = ZeroPad(channels_in, out, stride)
        else:  # shortcut B: a projection where the shape changes
            self.shortcut = nn.Sequential(*conv(channels_in, out, 1, stride, norm))

    def residual_function(self, channels_in: int, channels: int, stride: int, norm: Norm) -> nn.Sequential:
        return nn.Sequential(
            *conv(channels_in, channels, 3, stride, norm),
            nn.ReLU(inplace=True),
            *conv(channels, channels, 3, 1, norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.main(x)  # N × channels·expansion × H/stride × W/stride
        return torch.relu(y if self.shortcut is None else y + self.shortcut(x))


class Bottleneck(Block):
    """Figure 5, right: 1×1 down, 3×3, 1×1 up to four times the channels. The 3×3 has the stride, as in torchvision; in
    the models that He et al. published the first 1×1 has it.
    """

    expansion = 4

    def residual_function(self, channels_in: int, channels: int, stride: int, norm: Norm) -> nn.Sequential:
        return nn.Sequential(
            *conv(channels_in, channels, 1, 1, norm),
            nn.ReLU(inplace=True),
            *conv(channels, channels, 3, stride, norm),
            nn.ReLU(inplace=True),
            *conv(channels, channels * self.expansion, 1, 1, norm),
        )


class ResNet(nn.Module):
    """Stem, stages of blocks, global average, one linear layer."""

    def __init__(self, block: type[Block], blocks: tuple[int, ...], width: int, classes: int, options: Options) -> None:
        super().__init__()
        self.initialisation = options.initialisation
        norm, large = NORMS[options.normalisation], options.stem == "imagenet"
        first = conv(3, width, 7, 2, norm) if large else conv(3, width, 3, 1, norm)
        pool = nn.MaxPool2d(3, 2, padding=1) if large else nn.Identity()
        self.stem = nn.Sequential(*first, nn.ReLU(inplace=True), pool)
        stages, channels_in = [], width
        for stage, count in enumerate(blocks):
            channels, members = width * 2**stage, []
            for i in range(count):
                stride = 2 if stage and i == 0 else 1
                members.append(block(channels_in, channels, stride, options.shortcut, norm))
                channels_in = channels * block.expansion
            stages.append(nn.Sequential(*members))
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(channels_in, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # N×3×H×W → N×width×H×W, or H/4×W/4 behind the ImageNet stem
        x = self.stages(x)  # half the height and width, twice the channels, in each stage after the first
        return self.head(x.mean((2, 3)))  # N×classes


def build(classes: int, _: int, options: Options) -> ResNet:
    """A residual network, or with the shortcut `none` its plain counterpart; `identity` is the paper's shortcut A,
    `projection` B. Any input size will do.
    """
    if options.depth in FOUR_STAGES:
        block = Bottleneck if options.depth >= 50 else Block
        return ResNet(block, FOUR_STAGES[options.depth], 64, classes, options)
    return ResNet(Block, ((options.depth - 2) // 6,) * 3, 16, classes, options)
