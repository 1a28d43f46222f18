"""What is measured inside a network, layer by layer and block by block: gradients, responses, what residual functions
add, and what local response normalisation divides by. Always in float32, because bfloat16 rounds what is measured.
"""

import copy
import math
from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lineage.engine.augment import Images

BATCH = 64  # images at a time, at most, that batch norm's statistics are estimated with


def layers(network: nn.Module) -> dict[str, nn.Module]:
    """The convolutions and linear layers of the main path, in its order; shortcuts' are left out."""
    found = {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    return {name: module for name, module in found.items() if "shortcut" not in name.split(".")}


def gradient_norms(network: nn.Module, x: Tensor, y: Tensor) -> dict[str, tuple[float, float]]:
    """Of each layer, the norm of the loss gradient in its weights, and that of the weights, for one batch as in
    training, but without dropout. The network stays as it is. The norms are summed in float64: the squares of small
    gradients are too small for float32 where they themselves are not.
    """
    network = copy.deepcopy(network).train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    F.cross_entropy(network(x), y).backward()
    found = {name: module.weight for name, module in layers(network).items()}
    return {name: (w.grad.double().norm().item(), w.detach().double().norm().item()) for name, w in found.items()}


def steepest(network: nn.Module, x: Tensor, y: Tensor) -> tuple[str, float]:
    """The layer whose loss gradient is largest beside its weights, and ‖gradient‖ / ‖weights‖ there: times a learning
    rate, how far a step of plain gradient descent moves that layer, as a fraction of its own norm.
    """
    norms = gradient_norms(network, x, y)
    ratios = {name: gradient / max(weight, 1e-30) for name, (gradient, weight) in norms.items()}
    name = max(ratios, key=ratios.__getitem__)
    return name, ratios[name]


@torch.no_grad()
def responses(network: nn.Module, x: Tensor) -> dict[str, float]:
    """The standard deviation of each layer's response to the images, in evaluation mode: after its batch norm, before
    any activation or addition (He et al. 2015, Fig. 7).
    """
    named = {module: name for name, module in layers(network).items()}
    last, found = "", {}

    def record(module: nn.Module, _: tuple, output: Tensor) -> None:
        nonlocal last
        # batch norm belongs to the layer right before it, unless that is a shortcut's
        last = named.get(module, last if isinstance(module, nn.BatchNorm2d) else "")
        if last:
            found[last] = output.std().item()

    hooks = [module.register_forward_hook(record) for module in network.modules() if not list(module.children())]
    network.eval()
    network(x)
    for hook in hooks:
        hook.remove()
    return {name: found[name] for name in named.values()}


@torch.no_grad()
def additions(network: nn.Module, x: Tensor) -> dict[str, float]:
    """Of each residual block, how large what it adds is beside what it keeps: the mean over the images of the norm of
    F(x) by that of its shortcut's output.
    """
    norms: dict[tuple[str, str], Tensor] = {}

    def keep(_: nn.Module, __: tuple, output: Tensor, name: str, part: str) -> None:
        norms[name, part] = output.flatten(1).norm(dim=1)

    blocks = {name: m for name, m in network.named_modules() if isinstance(getattr(m, "shortcut", None), nn.Module)}
    hooks = [
        getattr(block, part).register_forward_hook(partial(keep, name=name, part=part))
        for name, block in blocks.items()
        for part in ("main", "shortcut")
    ]
    network.eval()
    network(x)
    for hook in hooks:
        hook.remove()
    return {name: (norms[name, "main"] / norms[name, "shortcut"]).mean().item() for name in blocks}


@torch.no_grad()
def divisors(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """All that each local response normalisation divides by, for these images. Empty where the network has none."""
    found = {}

    def keep(module: nn.Module, inputs: tuple[Tensor], _: Tensor, name: str) -> None:
        found[name] = module.divisor(inputs[0])

    normalising = {name: module for name, module in network.named_modules() if hasattr(module, "divisor")}
    hooks = [module.register_forward_hook(partial(keep, name=name)) for name, module in normalising.items()]
    network.eval()
    network(x)
    for hook in hooks:
        hook.remove()
    return found


def batch_norms(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def batches(images: Images) -> list[Tensor]:
    """All images without augmentation, in batches of nearly the same size, so that each counts alike in an average.
    Each has images from all over: they may be stored by class, and a batch of one class has statistics of its own.
    """
    count = math.ceil(len(images) / BATCH)
    x = images.plain(0, len(images))
    return [x[k::count].contiguous(memory_format=images.layout) for k in range(count)]


def estimating(network: nn.Module) -> nn.Module:
    """A copy of the network that normalises with each batch's own statistics and averages these, from nothing. Dropout
    is off.
    """
    network = copy.deepcopy(network).eval()
    for module in batch_norms(network):
        module.reset_running_stats()
        module.momentum = None  # the plain average of all batches
        module.train()
    return network


@torch.no_grad()
def re_estimated(network: nn.Module, inputs: Iterable[Tensor]) -> nn.Module:
    """A copy of the network, ready for use, with batch norm's statistics from one pass over these batches."""
    network = estimating(network)
    for x in inputs:
        network(x)
    return network.eval()
