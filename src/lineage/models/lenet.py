"""LeNet-5 (LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning applied to document recognition", Fig. 2).

Two 5×5 convolutions of 6 and 16 kernels, each followed by 2×2 average pooling, then layers of 120, 84 and one unit per
class, tanh in between. Where it differs from the paper: softmax cross-entropy instead of radial basis functions; each
map of C3 sees all six maps of S2 (Table I connects some); pooling has neither coefficient nor bias nor a tanh;
tanh is not scaled; three input channels instead of one.
"""

from torch import Tensor, nn

from lineage.options.lenet import Options


class LeNet5(nn.Module):
    initialisation = "glorot"  # for tanh

    def __init__(self, classes: int, input_size: int, channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 6, 5),
            nn.Tanh(),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.Tanh(),
            nn.AvgPool2d(2),
        )
        width = ((input_size - 4) // 2 - 4) // 2
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(16 * width**2, 120),  # C5: at 32 pixels a 5×5 convolution of 5×5 maps
            nn.Tanh(),
            nn.Linear(120, 84),
            nn.Tanh(),
            nn.Linear(84, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # N×channels×32×32 → N×16×5×5
        return self.head(x)  # N×classes


def build(classes: int, input_size: int, _: Options) -> LeNet5:
    """LeNet-5 for three channels and any input from 16 pixels up."""
    return LeNet5(classes, input_size)
