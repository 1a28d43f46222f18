"""Residual VGG: VGG with a shortcut past each of its five groups, and its plain counterpart.

The network of the article S0, repaired (docs/errata.md): a block is two 3×3 convolutions with batch norm and ReLU, then
2×2 max pooling, and adds a shortcut that is pooled alike. No paper has it; He et al. 2015 add before the ReLU and do
not pool, and name the shortcuts A (identity) and B (projection) that it can have.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from lineage.options.residual_vgg import Options

CHANNELS = (64, 128, 256, 512, 512)


def convolution(channels_in: int, channels: int) -> nn.Sequential:
    """3×3 convolution, batch norm (which has the bias), ReLU."""
    conv = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


def projection(channels_in: int, channels: int) -> nn.Module:
    """1×1 convolution and batch norm where the channels differ."""
    if channels_in == channels:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(channels_in, channels, 1, bias=False), nn.BatchNorm2d(channels))


class ZeroChannels(nn.Module):
    """The identity, and channels of zeros where the block has more of them. No parameters."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.missing = channels - channels_in

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, 0, 0, self.missing))


# what stands in front of the shortcut's pool; the article has a convolution in every block
SHORTCUTS = {"identity": ZeroChannels, "projection": projection, "always-convolved": convolution}


class Block(nn.Module):
    """pool(F(x)) + pool(shortcut(x)), F two convolutions; without a shortcut pool(F(x))."""

    def __init__(self, channels_in: int, channels: int, shortcut: str) -> None:
        super().__init__()
        pool = nn.MaxPool2d(2)
        self.main = nn.Sequential(convolution(channels_in, channels), convolution(channels, channels), pool)
        self.shortcut = None
        if shortcut != "none":
            self.shortcut = nn.Sequential(SHORTCUTS[shortcut](channels_in, channels), pool)

    def forward(self, x: Tensor) -> Tensor:
        y = self.main(x)  # N×channels_in×H×W → N×channels×H/2×W/2
        return y if self.shortcut is None else y + self.shortcut(x)


class ResidualVGG(nn.Module):
    def __init__(self, classes: int, input_size: int, shortcut: str, dropout: float) -> None:
        super().__init__()
        pairs = zip((3, *CHANNELS), CHANNELS, strict=False)
        self.features = nn.Sequential(*(Block(channels_in, channels, shortcut) for channels_in, channels in pairs))
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(512 * (input_size // 32) ** 2, 1024),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(1024, 1024),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(1024, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # N×3×S×S → N×512×S/32×S/32
        return self.head(x)  # N×classes


def build(classes: int, input_size: int, options: Options) -> ResidualVGG:
    """Residual VGG, or with the shortcut `none` its plain counterpart, for any input from 32 pixels up."""
    return ResidualVGG(classes, input_size, options.shortcut, options.dropout)
