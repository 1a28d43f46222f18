"""The networks. Each file of this folder is one family and has `build(classes, input_size, **options) -> nn.Module`.

The folder itself is the registry: a stage names its network's file, so that a change in `vgg.py` retrains the VGGs
alone. `lineage.params.NETWORKS` lists the options that each family takes.
"""

from importlib import import_module

from torch import nn


def build(model: str, classes: int, input_size: int, options: dict[str, object]) -> nn.Module:
    """The network `model` for images of N×3×input_size×input_size, initialised from torch's global generator."""
    network = import_module(f"lineage.models.{model}").build(classes=classes, input_size=input_size, **options)
    initialise(network)
    return network


def initialise(network: nn.Module) -> None:
    """He et al. 2015 ("Delving deep into rectifiers", eq. 10): zero mean, variance 2 / fan-in; biases 0, batch norm 1
    and 0.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
