"""The networks. Each file of this folder is one family and has `build(classes, input_size, **options) -> nn.Module`.

The folder itself is the registry: a stage names its network's file, so that a change in `vgg.py` retrains the VGGs
alone. `lineage.options.NETWORKS` lists the options that each family takes.
"""

from functools import partial
from importlib import import_module

import torch
from torch import nn

INITIALISATIONS = {
    "relu": partial(nn.init.kaiming_normal_, nonlinearity="relu"),
    "tanh": nn.init.xavier_normal_,
    "sigmoid": nn.init.xavier_normal_,
}


def build(model: str, classes: int, input_size: int, options: dict[str, object]) -> nn.Module:
    """The network `model` for images of N×3×input_size×input_size, initialised from torch's global generator.

    Raises ValueError for what the network's file cannot build.
    """
    network = import_module(f"lineage.models.{model}").build(classes=classes, input_size=input_size, **options)
    initialise(network)
    return network


def initialise(network: nn.Module) -> None:
    """Weights by the activation that the network names in its attribute `activation`, "relu" where it has none.

    - relu: He et al. 2015 ("Delving deep into rectifiers", eq. 10): normal, zero mean, variance 2 / fan-in.
    - tanh, sigmoid: Glorot & Bengio 2010 ("Understanding the difficulty of training deep feedforward neural
      networks", eq. 12): normal, zero mean, variance 2 / (fan-in + fan-out), without any further gain.

    The last layer too, which no activation follows. Biases 0; batch norm as torch has it, 1 and 0.
    """
    initialisation = INITIALISATIONS[getattr(network, "activation", "relu")]
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            initialisation(module.weight)
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
