"""The networks. Each file of this folder is one family and has `build(classes, input_size, options) -> nn.Module`.

The folder itself is the registry: a stage names its network's file, so that a change in `vgg.py` retrains the VGGs
alone. The options of each family are in the file of the same name in `lineage/options`.
"""

from collections.abc import Callable
from importlib import import_module

import torch
from torch import nn

from lineage.options import NetworkOptions


def build(model: str, classes: int, input_size: int, options: NetworkOptions) -> nn.Module:
    """The network `model` for images of N×3×input_size×input_size, initialised from torch's global generator."""
    network = import_module(f"lineage.models.{model}").build(classes, input_size, options)
    initialise(network)
    return network


def he(weight: nn.Parameter) -> None:
    """He et al. 2015 ("Delving deep into rectifiers", eq. 10): normal, zero mean, variance 2 / fan-in."""
    nn.init.kaiming_normal_(weight, nonlinearity="relu")


def glorot(weight: nn.Parameter) -> None:
    """Glorot & Bengio 2010 ("Understanding the difficulty of training deep feedforward neural networks", eq. 12):
    zero mean, variance 2 / (fan-in + fan-out), without any further gain; normal, where the paper is uniform (eq. 16).
    """
    nn.init.xavier_normal_(weight)


@torch.no_grad()
def dirac(weight: nn.Parameter) -> None:
    """`he`, but for k×k convolutions from feature maps to feature maps, which get the identity plus a tenth of it: each
    channel passes through, and where their number doubles, twice. (In the DiracNets of Zagoruyko & Komodakis 2017 the
    identity stays a term of its own beside the kernel, with trained scales; here it is a part of the initial weights.)
    """
    he(weight)
    if weight.ndim == 4 and weight.shape[2] > 1 and weight.shape[1] > 3:  # not 1×1, and not from an image's colours
        copies = max(1, weight.shape[0] // weight.shape[1])
        weight.copy_(nn.init.dirac_(torch.empty_like(weight), groups=copies) + 0.1 * weight)


# how the weights of a network begin, by what it names in its attribute `initialisation`
INITIALISATIONS: dict[str, Callable[[nn.Parameter], None]] = {"he": he, "glorot": glorot, "dirac": dirac}


def initialise(network: nn.Module) -> None:
    """Initialise all convolutions and linear layers, the last one too. Biases 0; batch norm as torch has it, 1 and 0.

    A network without the attribute `initialisation` begins with `he`.
    """
    start = INITIALISATIONS[getattr(network, "initialisation", "he")]
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            start(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


@torch.no_grad()
def size(network: nn.Module, input_size: int) -> dict[str, int]:
    """`parameters`, the numbers that are trained, and `multiply_adds`, those of the convolutions and linear layers for
    one image, as torch counts them. Leaves the network in evaluation mode.
    """
    from torch.utils.flop_counter import FlopCounterMode  # loads a compiler: only those who count wait for it

    network.eval()
    example = next(network.parameters()).new_zeros(1, 3, input_size, input_size)
    with FlopCounterMode(display=False) as counter:
        network(example)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"parameters": parameters, "multiply_adds": counter.get_total_flops() // 2}
