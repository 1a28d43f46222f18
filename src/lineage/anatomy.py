"""What is measured inside a network, layer by layer and block by block: gradients, responses, and what the residual
functions add. Always in float32, because bfloat16 rounds what is measured.
"""

import copy
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# the initialisations that are compared: weights by their shape, biases 0
INITIALISATIONS = {
    "he": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
    "framework": lambda weight: nn.init.kaiming_uniform_(weight, a=5**0.5),  # what torch's layers begin with
    "normal-0.01": lambda weight: nn.init.normal_(weight, std=0.01),  # Krizhevsky et al. 2012, section 5
}


def layers(network: nn.Module) -> dict[str, nn.Module]:
    """The convolutions and linear layers of the main path, in its order; shortcuts' are left out."""
    found = {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    return {name: module for name, module in found.items() if "shortcut" not in name.split(".")}


def gradients(network: nn.Module, x: Tensor, y: Tensor) -> dict[str, tuple[float, float]]:
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


@torch.no_grad()
def responses(network: nn.Module, x: Tensor) -> dict[str, float]:
    """The deviation of each layer's response to the images, in use: after its batch norm, before any activation or
    addition (He et al. 2015, Fig. 7).
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
def initialised(network: nn.Module, initialisation: str, batch_norm: bool) -> nn.Module:
    """A copy of the network with weights as it would begin with them, drawn from torch's global generator, and with its
    batch norms, or without any.
    """
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            INITIALISATIONS[initialisation](module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    if not batch_norm:
        for parent in list(network.modules()):
            for name, module in parent.named_children():
                if isinstance(module, nn.BatchNorm2d):
                    setattr(parent, name, nn.Identity())
    return network
