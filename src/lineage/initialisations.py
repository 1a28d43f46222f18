"""Initialisations of plain networks (lineage/models/resnet.py, shortcut `none`) beside those that an experiment can
name: between the identity and random weights, and linear up to the last ReLU without being the identity.
"""

from collections.abc import Iterator

import torch
from torch import nn

RANDOM, LOOKS_LINEAR = "random-", "looks-linear"


def initialise(network: nn.Module, name: str) -> None:
    """Give a network that has He's initialisation the one of this name, `random-…` or `looks-linear`."""
    if name == LOOKS_LINEAR:
        looks_linear(network)
    else:
        identity_and_random(network, float(name.removeprefix(RANDOM)))


def between_feature_maps(network: nn.Module) -> Iterator[nn.Conv2d]:
    """The convolutions that the identity can pass through: all but the first, which sees colours."""
    return (m for m in network.modules() if isinstance(m, nn.Conv2d) and m.in_channels > 3)


@torch.no_grad()
def identity_and_random(network: nn.Module, share: float) -> None:
    """Identity kernels plus `share` times the weights that the network has. With He's and a tenth this is the
    initialisation `dirac` of lineage/models/__init__.py. Each filter has norm 1 in the identity, about 1.4 in He's.
    """
    for conv in between_feature_maps(network):
        copies = max(1, conv.out_channels // conv.in_channels)  # where their number doubles, each channel passes twice
        conv.weight.copy_(nn.init.dirac_(torch.empty_like(conv.weight), groups=copies) + share * conv.weight)


@torch.no_grad()
def looks_linear(network: nn.Module) -> None:
    """The second half of the channels is the first half with the opposite sign, and each layer takes the difference of
    the two, so that ReLU loses nothing: relu(u) minus relu(-u) is u. All layers before the last ReLU are then a linear
    map for a given batch, and not the identity: in each layer the middle of the kernels is a random orthogonal matrix,
    and around it they are 0. So where a layer has stride 2, three of four places are lost. (Balduzzi et al. 2017, "The
    shattered gradients problem", section 5; kernels as in Xiao et al. 2018, "Dynamical isometry", delta-orthogonal.)
    The first layer keeps the first half of its filters, the last layer its weights.
    """
    first = network.stem[0].weight
    half = first[: len(first) // 2].clone()
    first.copy_(torch.cat([half, -half]))
    for conv in between_feature_maps(network):
        outputs, inputs, height, width = conv.weight.shape
        mix = nn.init.orthogonal_(conv.weight.new_empty(outputs // 2, inputs // 2))
        mirrored = torch.cat([torch.cat([mix, -mix], 1), torch.cat([-mix, mix], 1)])  # outputs × inputs
        conv.weight.zero_()
        conv.weight[:, :, height // 2, width // 2] = mirrored
