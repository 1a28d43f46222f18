"""AlexNet in one tower (Krizhevsky et al. 2012): five convolutions of 96, 256, 384, 384 and 256 kernels, three linear
layers.

At 224 pixels the feature maps are 55, 27, 27, 13, 13, 13, 13 and 6 pixels wide: with a padding of 2 in the first
layer, which the paper's sizes need and its text leaves out.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LocalResponseNorm(nn.Module):
    """Section 3.3: b = a / (2 + 1e-4 Σ a²)^0.75 over five neighbouring channels.

    A sum of shifted slices: torch's own goes through a 3-D average pool whose gradient is not deterministic on CUDA.
    """

    def forward(self, x: Tensor) -> Tensor:
        squares = F.pad(x.float().square(), (0, 0, 0, 0, 2, 2))  # N × channels+4 × H × W
        total = torch.stack([squares[:, i : i + x.shape[1]] for i in range(5)]).sum(0)
        return x / (2 + 1e-4 * total).pow(0.75)


# after the ReLU of the first and the second convolution
NORMALISATIONS = {"none": lambda _: nn.Identity(), "lrn": lambda _: LocalResponseNorm(), "batch": nn.BatchNorm2d}


class AlexNet(nn.Module):
    def __init__(self, classes: int, input_size: int, normalisation: str, dropout: float) -> None:
        super().__init__()
        norm = NORMALISATIONS[normalisation]
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 96, 11, stride=4, padding=2), nn.ReLU(inplace=True), norm(96), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(96, 256, 5, padding=2), nn.ReLU(inplace=True), norm(256), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(inplace=True)),
            *(nn.Conv2d(384, 384, 3, padding=1), nn.ReLU(inplace=True)),
            *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)),
        )
        width = (input_size - 7) // 4 + 1  # behind the first convolution
        for _ in range(3):
            width = (width - 3) // 2 + 1  # behind each pool
        self.head = nn.Sequential(
            nn.Flatten(),
            # section 4.2: dropout of the outputs of the first two fully connected layers
            *(nn.Linear(256 * width**2, 4096), nn.ReLU(inplace=True), nn.Dropout(dropout)),
            *(nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(dropout)),
            nn.Linear(4096, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # N×3×224×224 → N×256×6×6
        return self.head(x)  # N×classes


def build(classes: int, input_size: int, normalisation: str, dropout: float) -> AlexNet:
    """AlexNet for any input from 63 pixels up. Raises ValueError for a smaller one."""
    if input_size < 63:
        raise ValueError(f"AlexNet has nothing left of {input_size} pixels: 63 will do")
    return AlexNet(classes, input_size, normalisation, dropout)
