"""Networks that are trained in float64: weights, outputs of all layers, gradients and steps. Only the outputs that the
loss is computed from, and the learning rate, are rounded to float32, as everywhere.
"""

from functools import partial

import torch
from torch import nn

from lineage.engine.experiment import Experiment
from lineage.engine.recipe import Number
from lineage.relative_steps import equalise


class Float64(Experiment):
    """An experiment whose network computes in float64; with a `ratio`, its gradients are all of that relative norm
    (lineage/relative_steps.py).
    """

    ratio: Number | None = None

    def build(self) -> nn.Module:
        """The network, with the initial weights that the seed gives it in float32."""
        network = super().build().double()
        network.register_forward_pre_hook(as_float64)
        if self.ratio is not None:
            for parameter in network.parameters():
                parameter.register_post_accumulate_grad_hook(partial(equalise, ratio=self.ratio))
        return network


def as_float64(_: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    """The images in float64; a hook, which torch calls before `forward`."""
    return tuple(one.double() for one in inputs)
