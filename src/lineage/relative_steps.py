"""Training with gradients of one relative norm: in every step the gradient of each kernel, weight matrix or vector
keeps its direction and gets the same norm, relative to what it changes. Momentum, the learning rate and weight decay
come after that, so layers whose gradients agree from step to step are still moved further (compare You et al. 2017,
"Large batch training of convolutional networks", LARS; Yu et al. 2017, "Block-normalized gradient method").
"""

from functools import partial

import torch
from torch import nn

from lineage import initialisations, models
from lineage.engine.experiment import Experiment
from lineage.engine.recipe import Number


class Equalised(Experiment):
    """An experiment whose gradients are scaled before the optimiser sees them."""

    start: str  # the initialisation: one that an experiment can name, or one of lineage/initialisations.py
    ratio: Number  # the norm of each gradient, relative to what it changes

    def build(self) -> nn.Module:
        """The network, whose parameters scale their gradients as they get them."""
        network = super().build()
        if self.start not in models.INITIALISATIONS:
            initialisations.initialise(network, self.start)
        for parameter in network.parameters():
            parameter.register_post_accumulate_grad_hook(partial(equalise, ratio=self.ratio))
        return network


@torch.no_grad()
def equalise(parameter: nn.Parameter, ratio: float) -> None:
    """Make the norm of a kernel's or matrix's gradient `ratio` times its own, and that of the gradient of a vector of n
    numbers (shift or scale of batch norm, biases) `ratio` times √n: most of these begin at 0, and 1 is their scale.
    """
    length = parameter.norm() if parameter.ndim > 1 else parameter.numel() ** 0.5
    parameter.grad.mul_(ratio * length / parameter.grad.norm().clamp(min=1e-30))
