"""VGG with batch norm (Simonyan & Zisserman 2015, Table 1; Ioffe & Szegedy 2015), for small images.

Five groups of 3×3 convolutions, each followed by batch norm and ReLU, each group by 2×2 max pooling.
"""

from torch import Tensor, nn

from lineage.options.vgg import Options

# Table 1, columns A, B, D and E: convolutions per group
GROUPS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """Features and a head: `mean` is a global average and one linear layer, `classic` the 4096-4096 of the paper."""

    def __init__(self, groups: tuple[int, ...], head: str, dropout: float, classes: int, input_size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels_in = 3
        for count, channels in zip(groups, CHANNELS, strict=True):
            for _ in range(count):
                # no bias: batch norm has one
                conv = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)
                layers += [conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
                channels_in = channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        flat = CHANNELS[-1] * (input_size // 32) ** 2
        self.head = HEADS[head](flat, dropout, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # N×3×S×S → N×512×S/32×S/32
        return self.head(x)  # N×classes


def mean_head(_: int, dropout: float, classes: int) -> nn.Sequential:
    """A global average and one linear layer: any input size will do."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(CHANNELS[-1], classes))


def classic_head(features: int, dropout: float, classes: int) -> nn.Sequential:
    """Two layers of 4096 with ReLU and dropout, and the last one."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(features, 4096),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(4096, 4096),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(4096, classes),
    )


HEADS = {"mean": mean_head, "classic": classic_head}


def build(classes: int, input_size: int, options: Options) -> VGG:
    """VGG-11, 13, 16 or 19 for any input from 32 pixels up."""
    return VGG(GROUPS[options.depth], options.head, options.dropout, classes, input_size)
