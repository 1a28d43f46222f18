"""AlexNet in one tower (Krizhevsky et al. 2012), and a four-layer network for CIFAR-10, as in its first figure.

Eight layers: five convolutions of 96, 256, 384, 384 and 256 kernels, three linear layers. At 224 pixels the feature
maps are 55, 27, 27, 13, 13, 13, 13 and 6 pixels wide: with a padding of 2 in the first layer, which the paper's sizes
need and its text leaves out.

Four layers: the paper does not describe the network of that figure; for the one of section 3.3 it refers to the files
of cuda-convnet. Ours is cuda-convnet's `layers-18pct`, which is Caffe's `cifar10_full`: three convolutions of 32, 32
and 64 kernels, one linear layer. Its response normalisation is within each map; `lrn` here is the paper's, over
channels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lineage.options.alexnet import Options


class LocalResponseNorm(nn.Module):
    """Section 3.3: b = a / (2 + alpha Σ a²)^0.75 over five neighbouring channels.

    The paper's alpha of 1e-4 belongs to activations on the scale of pixel values, whose standard deviation is about 64.
    Ours are normalised: alpha = 64² · 1e-4 ≈ 0.4. With 1e-4 the divisor would be 1.68 everywhere.

    A sum of shifted slices: torch's own goes through a 3-D average pool whose gradient is not deterministic on CUDA.
    """

    alpha = 0.4

    def forward(self, x: Tensor) -> Tensor:
        return x / self.divisor(x)

    def divisor(self, x: Tensor) -> Tensor:
        squares = F.pad(x.float().square(), (0, 0, 0, 0, 2, 2))  # N × channels+4 × H × W
        total = torch.stack([squares[:, i : i + x.shape[1]] for i in range(5)]).sum(0)
        return (2 + self.alpha * total).pow(0.75)


# after the activation of the first and the second convolution
NORMALISATIONS = {"none": lambda _: nn.Identity(), "lrn": lambda _: LocalResponseNorm(), "batch": nn.BatchNorm2d}
ACTIVATIONS = {"relu": lambda: nn.ReLU(inplace=True), "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
INITIALISATIONS = {"relu": "he", "tanh": "glorot", "sigmoid": "glorot"}


class AlexNet(nn.Module):
    """The eight layers. `channels` are the kernels of the convolutions."""

    def __init__(
        self,
        classes: int,
        input_size: int,
        normalisation: str,
        activation: str,
        dropout: float,
        channels: tuple[int, int, int, int, int] = (96, 256, 384, 384, 256),
    ) -> None:
        super().__init__()
        self.initialisation = INITIALISATIONS[activation]
        norm, act = NORMALISATIONS[normalisation], ACTIVATIONS[activation]
        c1, c2, c3, c4, c5 = channels
        self.features = nn.Sequential(
            nn.Conv2d(3, c1, 11, stride=4, padding=2),
            act(),
            norm(c1),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(c1, c2, 5, padding=2),
            act(),
            norm(c2),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(c2, c3, 3, padding=1),
            act(),
            nn.Conv2d(c3, c4, 3, padding=1),
            act(),
            nn.Conv2d(c4, c5, 3, padding=1),
            act(),
            nn.MaxPool2d(3, 2),
        )
        width = (input_size - 7) // 4 + 1  # behind the first convolution
        for _ in range(3):
            width = (width - 3) // 2 + 1  # behind each pool
        self.head = nn.Sequential(
            nn.Flatten(),
            # section 4.2: dropout of the outputs of the first two fully connected layers
            nn.Linear(c5 * width**2, 4096),
            act(),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            act(),
            nn.Dropout(dropout),
            nn.Linear(4096, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # N×3×224×224 → N×256×6×6
        return self.head(x)  # N×classes


class FourLayers(nn.Module):
    """The CIFAR-10 network: each pool halves the width (`ceil_mode`, as in Caffe): 32, 16, 8 and 4 pixels."""

    def __init__(self, classes: int, input_size: int, normalisation: str, activation: str) -> None:
        super().__init__()
        self.initialisation = INITIALISATIONS[activation]
        norm, act = NORMALISATIONS[normalisation], ACTIVATIONS[activation]
        self.features = nn.Sequential(
            nn.Conv2d(3, 32, 5, padding=2),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            act(),
            norm(32),
            nn.Conv2d(32, 32, 5, padding=2),
            act(),
            nn.AvgPool2d(3, 2, ceil_mode=True),
            norm(32),
            nn.Conv2d(32, 64, 5, padding=2),
            act(),
            nn.AvgPool2d(3, 2, ceil_mode=True),
        )
        self.head = nn.Linear(64 * (input_size // 8) ** 2, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # N×3×32×32 → N×64×4×4
        return self.head(x.flatten(1))  # N×classes


def build(classes: int, input_size: int, options: Options) -> AlexNet | FourLayers:
    """AlexNet from 63 pixels up (depth 8), or the CIFAR-10 network from 8 pixels up (depth 4)."""
    if options.depth == 8:
        return AlexNet(classes, input_size, options.normalisation, options.activation, options.dropout)
    return FourLayers(classes, input_size, options.normalisation, options.activation)
