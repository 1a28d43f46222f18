"""A network that begins with one initialisation, with first gradients of the norms of another one's.

Each gradient is multiplied by a factor that never changes. It is chosen so that before the first step, on 64 training
images without augmentation, all gradients have the norms, relative to what they change, that those of the other
initialisation have there. For a kernel before batch norm, a factor is the same as another norm of the kernel: that
changes the relative norm of its gradient, but nothing that the network computes (compare Arora, Li & Lyu 2019,
"Theoretical analysis of auto rate-tuning by batch normalization"). So the function that training begins with and the
norms of its gradients can be told apart.
"""

import copy
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lineage import initialisations, models
from lineage.engine import augment
from lineage.engine.experiment import Experiment

PROBES = 64  # training images, without augmentation, that the first gradients are measured with


class Crossed(Experiment):
    """An experiment whose gradients are scaled before the optimiser sees them."""

    start: str  # the initialisation: one that an experiment can name, or one of lineage/initialisations.py
    lengths: str  # the one whose gradient norms, relative to what they change, the first step has

    def build(self) -> nn.Module:
        """The network of `start`. Its parameters scale their gradients as they get them, by its attribute `factors`."""
        state = torch.get_rng_state()
        network = self._begun(self.start)
        network.factors = []
        if not next(network.parameters()).is_meta:  # where there are no numbers, there are no gradients
            torch.set_rng_state(state)  # both initialisations are drawn alike
            network.factors = self._factors(network, self._begun(self.lengths))
            for parameter, factor in zip(network.parameters(), network.factors, strict=True):
                parameter.register_post_accumulate_grad_hook(partial(scale, factor=factor))
        return network

    def _begun(self, start: str) -> nn.Module:
        known = start if start in models.INITIALISATIONS else "he"
        options = self.network.model_copy(update={"initialisation": known})
        network = models.build(self.model, self.classes, self.recipe.input_size, options)
        if start != known:
            initialisations.initialise(network, start)
        return network

    def _factors(self, network: nn.Module, other: nn.Module) -> list[float]:
        """What the gradient of each parameter is multiplied by. A gradient of 0 stays as it is."""
        few = self.model_copy(update={"max_images": min(PROBES, self.max_images or PROBES)})
        images = augment.load(few, ("train",), torch.device("cpu"))["train"]
        batch = images.plain(0, len(images)), images.labels
        own, wanted = relative_lengths(network, *batch), relative_lengths(other, *batch)
        return [there / here if here else 1.0 for here, there in zip(own, wanted, strict=True)]


def relative_lengths(network: nn.Module, x: Tensor, y: Tensor) -> list[float]:
    """Of each parameter of a new network, the norm of the loss gradient for one batch, as in training, relative to the
    norm of a kernel or matrix, or to √n for a vector of n numbers (batch norm's, biases), as lineage/relative_steps.py
    has it. In float64, because rounding leaves little of the gradients of deep plain networks. The network stays as it
    is.
    """
    twin = copy.deepcopy(network).double().train()
    F.cross_entropy(twin(x.double()), y).backward()
    return [(p.grad.norm() / (p.norm() if p.ndim > 1 else p.numel() ** 0.5)).item() for p in twin.parameters()]


@torch.no_grad()
def scale(parameter: nn.Parameter, factor: float) -> None:
    parameter.grad.mul_(factor)
